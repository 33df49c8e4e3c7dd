"""The subcommands of `seld-convert`, one file each."""
