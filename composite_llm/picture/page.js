"use strict";
// An addition: everything on the page can be unfolded without it.
(() => {
  const all = () => [...document.querySelectorAll("details")];
  const label = () => (all().every((one) => one.open) ? "Fold all" : "Unfold all");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "unfold";
  button.addEventListener("click", () => {
    const open = !all().every((one) => one.open);
    for (const one of all()) one.open = open;
  });
  const offer = () => {
    const header = document.querySelector("header");
    if (header && all().length > 1 && button.parentNode !== header) header.prepend(button);
    button.textContent = label();
  };
  offer();
  document.addEventListener("toggle", offer, true);
  document.addEventListener("composite:shown", offer);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all().filter((one) => !one.open);
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
