"""Faust's side of the stream: thin agents and a timer that hand over to the partition."""
