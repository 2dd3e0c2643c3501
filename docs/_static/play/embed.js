// On the page around: hands the theme in to the frame and gives it the height it asks for.
// By messages, which also pass between files opened from a disk.
(() => {
  "use strict";

  const frame = document.querySelector("iframe.play");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function sendTheme() {
    const chosen = document.body.dataset.theme; // light, dark or auto; unset without furo
    const theme = ["light", "dark"].includes(chosen) ? chosen : dark.matches ? "dark" : "light";
    frame.contentWindow.postMessage({ theme }, "*");
  }

  window.addEventListener("message", ({ source, data }) => {
    if (source !== frame.contentWindow || !Number.isFinite(data?.playHeight)) return;
    frame.style.height = `${data.playHeight}px`;
  });
  new MutationObserver(sendTheme).observe(document.body, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", sendTheme);
  frame.addEventListener("load", sendTheme); // the frame answers with its height
  sendTheme(); // for a frame that has loaded already
})();
