"use strict";
// An addition: everything on the page can be unfolded without it.
(() => {
  const all = () => [...document.querySelectorAll("details")];
  const header = document.querySelector("header");
  if (header && all().length > 1) {
    const button = document.createElement("button");
    const label = () => (all().every((one) => one.open) ? "Fold all" : "Unfold all");
    button.type = "button";
    button.className = "unfold";
    button.addEventListener("click", () => {
      const open = !all().every((one) => one.open);
      for (const one of all()) one.open = open;
      button.textContent = label();
    });
    button.textContent = label();
    header.prepend(button);
    document.addEventListener("toggle", () => { button.textContent = label(); }, true);
  }
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all().filter((one) => !one.open);
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
