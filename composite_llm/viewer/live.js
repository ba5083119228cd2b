"use strict";
// What is marked `data-live` is asked for again while the page is looked at, and put in place when it has changed.
(() => {
  const every = 2000;
  let tag = null;

  const names = (root) => {
    const seen = {};
    return [...root.querySelectorAll("details")].map((one) => {
      const place = one.closest("article, section")?.querySelector("h2, h3, h4")?.textContent ?? "";
      const name = place + one.querySelector("summary").firstChild.textContent;
      seen[name] = (seen[name] ?? 0) + 1;
      return [name + seen[name], one];
    });
  };

  const put = (old, fresh) => {
    const open = new Map(names(old).map(([name, one]) => [name, one.open]));
    document.adoptNode(fresh);
    for (const [name, one] of names(fresh)) if (open.has(name)) one.open = open.get(name);
    old.replaceWith(fresh);
  };

  const ask = async () => {
    // Text that somebody is marking would be lost.
    if (document.visibilityState === "visible" && getSelection().isCollapsed) {
      try {
        const answer = await fetch(location.href, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (answer.ok) {
          tag = answer.headers.get("ETag");
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const old of document.querySelectorAll("[data-live]")) {
            const fresh = page.getElementById(old.id);
            if (fresh) put(old, fresh);
            // What is there now is another page, as a list where an error was.
            else location.reload();
          }
          document.dispatchEvent(new Event("composite:shown"));
        }
      } catch {
        // The server has gone, and may come back.
      }
    }
    if (document.querySelector("[data-live]")) setTimeout(ask, every);
  };

  if (document.querySelector("[data-live]")) setTimeout(ask, every);
})();
