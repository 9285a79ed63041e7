"""What is said with a prediction: an interval or a set, a calibrated probability, a decision."""
