"""What it runs on elsewhere: containers, monitoring, and the processes as the containers start them."""
