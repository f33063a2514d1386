"""Learning from the unlabelled rows of a table, on cached frozen features.

``pools`` (which rows, cross-fitting, what a run says of them) and ``audit`` (are the pseudo-labels any good) serve
every method. ``graph`` and ``spreading`` spread labels along a nearest-neighbour graph; ``weight_rules``, ``heads``
and ``trials`` train on pseudo-labels, with the views of ``feature_views``.
"""
