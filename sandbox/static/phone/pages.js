// The addresses of the mini program's pages, as messages carry them, and where those pages are on this phone.

const PLACES = {
  "pages/booking/detail": (asked) => (asked.get("booking_id") ? `booking/${asked.get("booking_id")}` : "bookings"),
  "pages/makeup/index": () => "makeups",
  "pages/order/detail": (asked) => (asked.get("order_id") ? `order/${asked.get("order_id")}` : "orders"),
  "pages/wallet/index": () => "wallet",
  "pages/waitlist/offer": (asked) => (asked.get("waitlist_id") ? `wait/${asked.get("waitlist_id")}` : "waits"),
  "pages/waitlist/index": (asked) => (asked.get("waitlist_id") ? `wait/${asked.get("waitlist_id")}` : "waits"),
};

/** "pages/waitlist/offer?waitlist_id=3" → "wait/3"; null for a page that this phone has not. */
export function place(page) {
  const [path, query = ""] = (page ?? "").split("?");
  return Object.hasOwn(PLACES, path) ? PLACES[path](new URLSearchParams(query)) : null;
}
