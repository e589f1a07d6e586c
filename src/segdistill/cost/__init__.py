"""What a network costs: counted on the meta device, or measured on this machine."""

from segdistill.cost.counting import Counts, count
from segdistill.cost.latency import Latency, measure

__all__ = ["Counts", "Latency", "count", "measure"]
