"""nbgrader's settings for the sets of this course: `make grader` copies them into a course directory."""

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.course_id = 'densenet'
c.CourseDirectory.ignore = ['.ipynb_checkpoints', '*.pyc', 'my_densenet.py']
# Seconds a cell may take: nbgrader's own 30 are too few for cells that train. A cell that takes longer gets no points,
# and the next one is run.
c.ExecutePreprocessor.timeout = 600
c.ExecutePreprocessor.startup_timeout = 120
