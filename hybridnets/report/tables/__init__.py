"""Tables: comparisons become tables, with the sentences that say how the values were made."""
