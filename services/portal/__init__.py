"""The online rebate tool: a read model fed from the topics, and the pages that show it.

projector (topics -> tables) -> queries (tables -> facts of one partner) -> views (facts -> words) -> web (pages, live).
"""
