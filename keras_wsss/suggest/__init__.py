"""Which tagged pictures a person should look at, and the page to do it on."""
