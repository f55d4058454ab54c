"""Read models: what a screen, an answer of the API or a command shows of one thing, put together once for all of them.

story      one run, with all that led to it and came of it
jobs       the jobs as they are declared
schedules  the recurring jobs: their next fires and what became of their last ticks
queues     what waits where
workers    who works
overview   the whole board on one screen
"""
