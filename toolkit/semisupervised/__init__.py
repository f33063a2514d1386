"""Learning from the unlabelled rows of a table: a head on cached frozen features, or a whole network.

``pools`` (which rows, cross-fitting, what a run says of them) and ``audit`` (are the pseudo-labels any good) serve
every method. ``graph`` and ``spreading`` spread labels along a nearest-neighbour graph; ``weight_rules``, ``heads``
and ``trials`` train on pseudo-labels, with the views of ``feature_views``; ``descent`` learns heads from losses that
are written down. In pixel space, ``pixel_runs`` and ``pixel_training`` train the models of ``pixel_models`` on the
batches of ``pixel_views``, beside the control of ``pixel_controls``, from where the stage of ``pixel_stages`` ended.
"""
