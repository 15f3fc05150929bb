"""A page that holds one live explorer, as a stored lesson does, moved by keys and mouse."""

import json
import random
import statistics

MOVES = 50
STEP_MS = 50
STEPS = 15
KEYS = ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"]
SLIDERS = ".msa input[type=range]"
BUTTONS = ".msa button:enabled, .msa [role=button]"
# One question to the page about hundreds of buttons, not one for each.
VISIBLE = """selector => [...document.querySelectorAll(selector)]
    .flatMap((button, place) => button.checkVisibility() ? [place] : [])"""
NAMELESS = """selector => [...document.querySelectorAll(selector)]
    .filter(control => !(control.getAttribute('aria-label') || control.textContent.trim()))
    .map(control => control.outerHTML)"""
# From a slider's move to the frame that shows it, in milliseconds.
TIME_A_STEP = """async () => {
    const input = document.querySelector('.msa input[type=range]');
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    const start = performance.now();
    const up = +input.value < +input.max;
    input.value = +input.value + (up ? 1 : -1) * (+input.step || 1);
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.getBoundingClientRect();
    const done = performance.now();
    await frame();
    return done - start;
}"""


def show(page, html, background="#fff"):
    """Put the stored HTML on an empty page; errors of the page are gathered in `page.faults`."""
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.set_content(f"<!doctype html><body style='background: {background}'>{html}</body>")


def state(page):
    """(settings, numbers) that the explorer shows now."""
    shown = json.loads(page.locator(".msa").get_attribute("data-state"))
    return shown["settings"], shown["numbers"]


def drive(page, html, check, moves=MOVES, seed=0):
    """Move a live explorer by keys and mouse in turn; `check(settings, numbers)` after each."""
    rng = random.Random(seed)
    show(page, html)
    check(*state(page))
    seen = {json.dumps(state(page)[0])}
    for move in range(moves):
        num_sliders = page.locator(SLIDERS).count()
        visible = page.evaluate(VISIBLE, BUTTONS)
        if visible and (move % 2 or not num_sliders):
            button = page.locator(BUTTONS).nth(rng.choice(visible))
            if move % 4 == 1:
                button.click(force=True)
            else:
                button.focus()
                button.press("Enter")
        else:
            slider = page.locator(SLIDERS).nth(rng.randrange(num_sliders))
            slider.focus()
            slider.press(rng.choice(KEYS))
        check(*state(page))
        seen.add(json.dumps(state(page)[0]))
    assert page.faults == []
    assert len(seen) > moves // 8, "few settings were reached"


def check_is_quick(page):
    """Half of a slider's steps take less than STEP_MS."""
    times = [page.evaluate(TIME_A_STEP) for _ in range(STEPS)]
    assert statistics.median(times) < STEP_MS, times


def check_names(page):
    """Whatever can be operated has a name, and the sentence is spoken."""
    assert page.evaluate(NAMELESS, f"{SLIDERS}, {BUTTONS}") == []
    assert page.locator(".msa [aria-live=polite]").inner_text().strip().endswith(".")


def check_fits(page, widths=(390, 1440)):
    """Nothing sticks out to the right, from a phone to a wide screen."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
