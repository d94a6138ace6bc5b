"""What a network has and does: parameters, multiply-adds, memory, formulas, reuse of features."""
