// Runs before Streamlit's own scripts, from the page's head. Streamlit reads its theme once, from what the browser
// keeps for the path: without this, a page in the other theme would have to load twice.
(() => {
  const name = (from) => (["dark", "light"].includes(from) ? from : null);
  try {
    const asked = name(new URLSearchParams(location.search).get("theme"));
    const theme = asked ?? name(localStorage.getItem("wardwave.theme")) ?? "dark";
    localStorage.setItem(`stActiveTheme-${location.pathname}-v2`, JSON.stringify(theme === "light" ? "Light" : "Dark"));
  } catch {
    // A browser that keeps nothing shows the theme of its system.
  }
})();
