// A box that scrolls can be reached and scrolled with the keyboard.
'use strict';
(() => {
    const boxes = 'div.math, div.cell_output .output, .pst-scrollable-table-container, pre';
    const mark = () => document.querySelectorAll(boxes).forEach(box => {
        if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    });
    addEventListener('load', mark);
    addEventListener('resize', mark);
})();
