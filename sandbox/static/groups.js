// Asks for the chats again every two seconds; the server answers 204 while nothing was posted.

const feed = document.querySelector("[data-feed]");
const offline = document.querySelector("[data-offline]");
const NEAR = 80; // pixels from the end within which a reader is taken to follow the newest message

const chats = () => [...feed.querySelectorAll("[data-group]")];
const toEnd = (chat) => { chat.scrollTop = chat.scrollHeight; };

async function poll() {
  if (document.hidden) return;
  try {
    const revision = feed.querySelector("[data-revision]").dataset.revision;
    const answer = await fetch(`${feed.dataset.feed}?rev=${revision}`);
    offline.hidden = true;
    if (answer.status !== 200) return;
    // Who scrolled up to read stays there; who was at the end sees the newest.
    const held = new Map(
      chats()
        .filter((c) => c.scrollHeight - c.scrollTop - c.clientHeight > NEAR)
        .map((c) => [c.dataset.group, c.scrollTop]),
    );
    feed.innerHTML = await answer.text(); // rendered and escaped by the server
    for (const chat of chats()) {
      if (held.has(chat.dataset.group)) chat.scrollTop = held.get(chat.dataset.group);
      else toEnd(chat);
    }
  } catch {
    offline.hidden = false;
  }
}

chats().forEach(toEnd);
setInterval(poll, 2000);
