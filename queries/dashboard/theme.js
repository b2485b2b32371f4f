// Before anything is painted: the scheme that was chosen here, if one was. The stylesheet follows the system otherwise.
(() => {
  try {
    const chosen = localStorage.getItem("readside-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage, no choice.
  }
})();
