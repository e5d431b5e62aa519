"""The subcommands of `translate-mix`: a module a group, with what each takes and what it calls and prints."""
