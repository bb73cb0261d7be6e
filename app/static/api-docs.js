// Shows openapi.json with Swagger UI, which the page loads before this module.

const dark = matchMedia("(prefers-color-scheme: dark)");

function applyColorScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

dark.addEventListener("change", applyColorScheme);
applyColorScheme();

window.SwaggerUIBundle({
  url: "openapi.json",
  domNode: document.getElementById("api-docs"),
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The hosted validator would send the document to another origin.
  validatorUrl: null,
});
