"""Files of scores of any project: bytes, a text table, its long form, and its runs.

reader.py tells the story. text_table.py splits a file into cells, long_form.py turns them into one row per run,
folds.py finds the folds of a cross-validation among them, column_roles.py decides what each column means, cell_values.py reads
a cell, and run_rows.py makes a run of a row.
mapping.py names the columns as the user says or as proposals.py proposes, where their own names do not say what they are.
ambiguities.py refuses or notes what may be read in two ways, and left_out.py counts the rows that cannot be used.
"""
