// Runs before the first paint: the theme that was chosen here, if one was.
"use strict";
try {
  const chosen = localStorage.getItem("callboard-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's own theme serves.
}
