"""The lecture's experiments, a module each: what is compared, what a run is, which claims it decides, and the slide.

A module has DESCRIPTION, TITLE, NOTE, OPTIONS and COLUMNS (data), and four functions:

    variants(settings)              the things that are compared
    run(variant, seed, settings)    one run: its measures, which follow from these three alone
    claims(results)                 what the lecture says, with the numbers that decide it
    draw(figure, bottom, results)   the drawings of the slide, above `bottom`

runner.py runs them, verdict.py decides, slide.py has what all pictures share.
"""
