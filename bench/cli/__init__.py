"""The command line, a module of flags for each verb. In: what was typed; out: one call of an action.

Never loads a heavy library before the verb is known, and that it is to run.
"""
