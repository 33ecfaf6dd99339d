"""The work of each job: from a configuration and the sizes of its corpora to FLOPs, bytes, seconds, memory and threads.

One model for three uses: the resources that rules ask for, `winnow plan`, and the forecast before a run. Imported at parse
time: nothing heavy here.
"""
