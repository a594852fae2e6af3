"""What runs inside the containers beside the command line."""
