// Before anything is drawn: the theme that was chosen here, else the system's own. A classic script, so that it waits.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
