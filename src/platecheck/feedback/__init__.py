"""What people say of answers: kept, reviewed, collected to train with."""
