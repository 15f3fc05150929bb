"""Known wrong answers to the exercises: one module a lesson, `lesson_NN.py`.

Each module defines

    WRONG = {
        "4.1": [(function, "fragment of the message"), ...],
        "4.2": [((first, second), "fragment of the message"), ...],
    }

two or three wrong answers for each of the lesson's three exercises. A tuple of functions stands for
an exercise whose check takes several. `test_exercises.py` hands each answer to the exercise's check
and wants an AssertionError whose message contains the fragment: the check must name the mistake,
not just refuse. A wrong answer is a mistake a reader really makes (a mask after the softmax, the
higher id on a tie), is a function of its own with a name that says what is wrong with it, raises
nothing itself, and finishes at once.
"""
