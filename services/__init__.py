"""What reacts to the stream: mails, money and pages. Each service is a process with its own database."""
