"""Makes the stream's state anew from what was reported, holds it against what is published, and mends that.

``published`` reads what stands in a partition, ``recounted`` what its sources say, ``told`` what its events have told;
``compare`` holds them against each other and is pure; ``swap`` writes corrections as the partition's owner would.
Decision 0018 says why there is no second set of topics.
"""
