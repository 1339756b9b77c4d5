"""Runs that other tools recorded: Hydra with Lightning's metrics.csv, TensorBoard, W&B and MLflow.

source.py finds by a folder's content which tool wrote it; hydra_jobs.py, event_files.py, wandb_runs.py and mlflow_store.py
read one tool each, as the runs of tool_runs.py, and wire.py has the format of messages that two of them share. tool_table.py
makes a table of the runs, which reading/scores reads as it reads any table of scores. Nothing in a source is executed.
"""
