"""Reading: finished runs, archives of them and files of scores become records, each checked by itself."""
