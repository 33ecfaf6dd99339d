// The dialog of the search has no name of its own for screen readers.
document.querySelector("[data-md-component=search]").setAttribute("aria-label", "Search");
