"""The command line: a module for each verb, with its flags. In: the arguments; out: one call of an action.

Never imports a heavy library before it is known which verb is to run.
"""
