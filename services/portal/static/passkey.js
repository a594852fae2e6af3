// Passkeys: asks the browser what the page's form wants to know, and sends its answer with the form.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  const usable = window.PublicKeyCredential?.parseRequestOptionsFromJSON && navigator.credentials;
  if (!form || !usable) return;
  const failed = form.querySelector("[data-failed]");
  form.hidden = false;
  for (const note of document.querySelectorAll("[data-no-passkey]")) note.hidden = true;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    failed.hidden = true;
    const question = JSON.parse(form.dataset.question);
    try {
      const credential = form.dataset.passkey === "make"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(question) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(question) });
      form.elements.answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      failed.hidden = false;
    }
  });
})();
