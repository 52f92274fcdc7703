"use strict";
/* A copy button beside each command. Text of the page is read and written as text only, never as markup. */
(() => {
  const commands = document.querySelectorAll(".command > code");
  if (!commands.length) return;

  /* A screen reader reads each change of this element. */
  const status = document.createElement("p");
  status.className = "unseen";
  status.setAttribute("role", "status");
  document.body.append(status);

  /* Browsers offer the clipboard to pages from a file or over TLS only; elsewhere the old way copies the selection. */
  const copy = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  };

  commands.forEach((code, index) => {
    const button = document.createElement("button");
    let timer = 0;
    const show = (label, name, message) => {
      button.textContent = label;
      button.setAttribute("aria-label", name);
      status.textContent = message;
    };
    const reset = () => show("Copy", "Copy command", "");
    code.id = "command-" + (index + 1);
    button.type = "button";
    button.setAttribute("aria-describedby", code.id);
    reset();
    button.addEventListener("click", async () => {
      clearTimeout(timer);
      if (await copy(code)) show("Copied", "Copied", "Command copied");
      else show("Not copied", "Not copied", "Not copied: the command is selected");
      timer = setTimeout(reset, 3000);
    });
    code.after(button);
  });
})();
