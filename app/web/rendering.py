"""How a view answers: page or fragment, form with errors, toast, redirect, error; and where assets live.

A fragment is a file with `_`, included by its page and rendered alone by the same view with the same context.
Everything here works without script too: without htmx a write ends in 303, and a toast travels as a flash.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import (
    Flask,
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from markupsafe import Markup

# title, what happened and why, what to do. The words of a DomainError replace the second.
ERROR_WORDS: dict[int, tuple[str, str, str]] = {
    400: ("请求无法识别", "浏览器发来的内容不完整或已过期。", "请返回上一页，刷新后重试。"),
    401: ("请重新登录", "登录已过期，或您已在别处退出。", "登录后会回到刚才的页面，已填写的内容会保留。"),
    403: ("没有这项权限", "您的角色不能查看或操作这里。", "如工作需要，请联系店长或管理员开通。"),
    404: ("没有找到", "这个地址不存在，或内容已被移走。", "请检查地址，或用上方的搜索查找。"),
    405: ("不能这样打开", "这个地址只接受表单提交，不能直接打开。", "请从对应的页面进入。"),
    409: ("内容已变化", "您操作时，这条记录已被别人更新。", "请刷新查看最新内容，再决定是否继续。"),
    413: ("文件太大", "上传的内容超过了允许的大小。", "请压缩图片或分次上传。"),
    422: ("提交的内容有误", "有些内容不符合要求，没有保存。", "请返回修改后重新提交。"),
    429: ("操作过于频繁", "短时间内的请求太多，已暂时限制。", "请稍等片刻再试。"),
    500: (
        "系统出错了",
        "这次操作没有完成，问题已被记录。",
        "请稍后重试；再次出现时，请把请求编号发给管理员。",
    ),
    503: ("服务暂时不可用", "系统正忙或正在维护，操作没有完成。", "请稍后重试，您的数据不受影响。"),
}


# --- page or fragment ----------------------------------------------------------------------------------


def wants_fragment() -> bool:
    """Whether htmx asks for a part: neither a boosted link nor a page that htmx restores from history."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Boosted") != "true"
        and headers.get("HX-History-Restore-Request") != "true"
    )


def is_htmx() -> bool:
    """Whether htmx reads the answer's `HX-*` headers at all."""
    return request.headers.get("HX-Request") == "true"


def render(page: str, fragment: str | None = None, /, *, status: int = 200, **context: Any) -> Response:
    """The page, or its fragment when htmx asks for a part of it.

    `Vary: HX-Request` keeps a cache and the back button from showing a bare fragment as a page. `status` is the
    answer's own, so a template's variable needs another name.
    """
    template = fragment if fragment and wants_fragment() else page
    response = make_response(render_template(template, **context), status)
    response.vary.add("HX-Request")
    return response


def render_form(page: str, fragment: str | None = None, /, **context: Any) -> Response:
    """A form that was refused: 422, which the pages' htmx configuration swaps in like an answer."""
    return render(page, fragment, status=422, **context)


def redirect_or_fragment(location: str, fragment: str | None = None, **context: Any) -> Response:
    """After a write: the fresh fragment for htmx (a redirect where there is none), 303 for a plain post."""
    if fragment and wants_fragment():
        response = make_response(render_template(fragment, **context))
        response.vary.add("HX-Request")
        return response
    return hx_redirect(location)


def hx_redirect(location: str, *, status: int = 200) -> Response:
    """Send the whole browser elsewhere. `status=401` for a lost session, so that scripts keep the form."""
    if is_htmx():
        response = make_response("", status)
        response.headers["HX-Redirect"] = location
        response.vary.add("HX-Request")
        return response
    return make_response(redirect(location, code=303))


# --- what the browser is told beside the answer --------------------------------------------------------


def trigger(response: Response, event: str, detail: Any = None) -> Response:
    """Add an event for the browser (`HX-Trigger`) to whatever is already there; ASCII, hence header-safe."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    events[event] = {} if detail is None else detail
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def toast(
    response: Response,
    text: str,
    kind: str = "good",
    link: dict[str, str] | str | None = None,
    undo: dict[str, str] | str | None = None,
) -> Response:
    """Say in one sentence what was done. One toast per answer.

    `kind`: good, info, waiting, danger. `link`: address of 「查看」 or {"href", "text"}. `undo`: address that
    「撤销」 posts to, or {"href", "text"}. It rides as an htmx event, or as a flash where a new page follows.
    """
    detail: dict[str, Any] = {"text": text, "kind": kind}
    if link:
        detail["link"] = {"href": link, "text": "查看"} if isinstance(link, str) else link
    if undo:
        detail["undo"] = {"href": undo, "text": "撤销"} if isinstance(undo, str) else undo
    if is_htmx() and "HX-Redirect" not in response.headers:
        return trigger(response, "desk:toast", detail)
    flash(detail, "toast")  # type: ignore[arg-type]  # the session keeps JSON, and the layout reads this shape
    return response


def close_panel(response: Response) -> Response:
    """The act in the side panel is done and the panel may go: after the swap, since htmx drops the answer to a form
    that has left the page."""
    response.headers["HX-Trigger-After-Swap"] = "desk:panel-close"
    return response


# --- errors --------------------------------------------------------------------------------------------


def render_error(status: int, sentence: str | None = None, *, retry_after: int | None = None) -> Response:
    """An error as a page, or for htmx as a banner that leaves the page as it was.

    `sentence` says what happened when the caller knows better than the status does.
    """
    title, why, advice = ERROR_WORDS.get(status, ERROR_WORDS[500])
    context = {"error_status": status, "title": title, "why": sentence or why, "advice": advice}
    response = render("errors/error.html", "errors/_error.html", status=status, **context)
    if wants_fragment():
        # The target of the request may be a row or a field; the error belongs to the strip at the top.
        response.headers["HX-Retarget"] = "#errors"
        response.headers["HX-Reswap"] = "innerHTML"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


# --- assets --------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _manifest(folder: str, _stamp: int) -> dict[str, str]:
    path = Path(folder) / "vendor" / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: entry["sha256"] for name, entry in entries.items()}


@lru_cache(maxsize=8)
def _icons(folder: str, _stamp: int) -> dict[str, list[str]]:
    try:
        return json.loads((Path(folder) / "vendor" / "icons.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


@lru_cache(maxsize=128)
def _own_hash(path: str, _stamp: int) -> str | None:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _stamp(file: str) -> int:
    """Changes when a file of the static folder does, in debug only: a production process reads each file once."""
    if not current_app.debug:
        return 0
    try:
        return os.stat(os.path.join(_folder(), file)).st_mtime_ns
    except FileNotFoundError:
        return 0


def _folder() -> str:
    return current_app.static_folder or "static"


def asset(name: str) -> str:
    """Address of a static file with its hash, so that browsers may keep it for ever.

    Looks in static/vendor first (built by npm), then in static. An unknown name gets an address without hash.
    A page has thirty of them, so what follows the static path is put together once.
    """
    return f"{request.script_root}{current_app.static_url_path}/" + _versioned(
        name, _folder(), _stamp("vendor/manifest.json"), _stamp(name)
    )


@lru_cache(maxsize=512)
def _versioned(name: str, folder: str, built_stamp: int, stamp: int) -> str:
    built = _manifest(folder, built_stamp)
    if name in built:
        return f"vendor/{name}?v={built[name][:12]}"
    digest = _own_hash(os.path.join(folder, name), stamp)
    return f"{name}?v={digest[:12]}" if digest else name


def assets_ready() -> bool:
    """Whether npm's files are there. Without them pages are plain, work, and say what to run."""
    return bool(_manifest(_folder(), _stamp("vendor/manifest.json")))


_SVG = Markup(
    '<svg class="icon {}" viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor"'
    ' stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>'
)
_PATH = Markup('<path d="{}"/>')


def icon(name: str, css: str = "") -> Markup:
    """An outline icon, inline and in the text's colour. Decoration only: the words beside it mean it."""
    return _drawn(name, css, _folder(), _stamp("vendor/icons.json"))


@lru_cache(maxsize=1024)
def _drawn(name: str, css: str, folder: str, stamp: int) -> Markup:
    paths = _icons(folder, stamp).get(name, ())
    return _SVG.format(css, Markup("").join(_PATH.format(d) for d in paths))


def url_if(endpoint: str, **values: Any) -> str | None:
    """The address of an endpoint, or None while it is not registered: the frame never links to nowhere."""
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else None


def register(app: Flask) -> None:
    """Give templates `asset`, `assets_ready`, `icon` and `url_if`."""
    app.jinja_env.globals.update(asset=asset, assets_ready=assets_ready, icon=icon, url_if=url_if)
