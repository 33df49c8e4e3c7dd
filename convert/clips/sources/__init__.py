"""Where clips come from: packages that anyone can install, and the project's own synthesis."""
