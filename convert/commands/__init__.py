"""The subcommands of `seld-convert`: one file each, with its parser and the function that runs it."""
