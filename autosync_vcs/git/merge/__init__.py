"""Two commits become one, the same on every host; and the second versions that conflicts leave."""
