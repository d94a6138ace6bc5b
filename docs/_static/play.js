// A dense block and its transition: channels, parameters, multiply-adds. tests/test_site.py holds `count` against the package.
'use strict';
(() => {
    // [name, label, lowest, highest, first value]
    const SLIDERS = [['L', 'L, layers', 1, 32, 4], ['k', 'k, growth rate', 1, 64, 32],
        ['k0', 'k₀, channels in', 1, 256, 64], ['theta', 'θ, compression', 5, 100, 50],
        ['size', 'pixels per side', 2, 112, 12]];
    const SWITCHES = [['bottleneck', 'bottleneck (4k)', false], ['bias', 'biases', true]];

    function count({ L, k, k0, theta, size, bottleneck, bias }) {
        const area = size * size, layers = [];
        for (let l = 0, m = k0; l < L; l++, m += k) {
            const weights = bottleneck ? 4 * k * m + 36 * k * k : 9 * k * m;
            const others = 2 * m + (bottleneck ? 8 * k : 0) + bias * (bottleneck ? 5 * k : k);
            layers.push({ reads: m, parameters: weights + others, work: weights * area });
        }
        const m = k0 + L * k, kept = Math.floor(theta / 100 * m);
        const sum = key => layers.reduce((total, layer) => total + layer[key], 0);
        return { layers, out: m, kept, parameters: sum('parameters'), work: sum('work'), connections: L * (L + 1) / 2,
            transition: { parameters: m * kept + 2 * m + bias * kept, work: m * kept * area } };
    }

    const place = document.getElementById('play');
    const make = (name, attributes = {}, ...children) => {
        const element = document.createElement(name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        element.append(...children);
        return element;
    };
    const number = value => value.toLocaleString('en-US');
    const settings = make('div', { class: 'settings' });
    const result = make('div', { class: 'result' });
    const inputs = {};
    for (const [name, label, low, high, first] of SLIDERS) {
        const shown = make('output', { for: `play-${name}` });
        inputs[name] = make('input', { id: `play-${name}`, type: 'range', min: low, max: high, value: first });
        settings.append(make('label', { for: `play-${name}` }, label), inputs[name], shown);
        inputs[name].shown = shown;
    }
    for (const [name, label, first] of SWITCHES) {
        inputs[name] = make('input', { id: `play-${name}`, type: 'checkbox' });
        inputs[name].checked = first;
        settings.append(make('label', { for: `play-${name}` }, label), inputs[name], make('span'));
    }

    // One bar for each layer: as wide as what it reads, and what it adds in the color of that layer.
    function stack(found, { L, k, k0 }) {
        const color = l => l ? `hsl(${(205 + l * 47) % 360} 60% 50%)` : '#888';
        const row = (name, parts, note) => make('tr', {}, make('th', { scope: 'row' }, name),
            make('td', { class: 'bar', 'aria-hidden': 'true' }, ...parts.map(([channels, l, added]) => make('i', {
                style: `width:${100 * channels / found.out}%;background:${color(l)};opacity:${added ? 1 : .45}` }))),
            make('td', {}, note[0]), make('td', {}, note[1]), make('td', {}, note[2]));
        const parts = l => [[k0, 0], ...Array.from({ length: l }, (_, i) => [k, i + 1])];
        const table = make('table');
        table.append(make('thead', {}, make('tr', {}, ...['layer', 'channels', 'reads', 'parameters', 'multiply-adds']
            .map(text => make('th', { scope: 'col' }, text)))));
        table.append(make('tbody', {}, ...found.layers.map((layer, l) => row(`${l + 1}`, [...parts(l), [k, l + 1, true]],
            [number(layer.reads), number(layer.parameters), number(layer.work)])),
        row('transition', parts(L), [number(found.out), number(found.transition.parameters), number(found.transition.work)])));
        return make('div', { class: 'stack', tabindex: 0, role: 'region', 'aria-label': 'layers of the block' }, table);
    }

    function draw() {
        const values = {};
        for (const [name] of SLIDERS) {
            values[name] = Number(inputs[name].value);
            inputs[name].shown.textContent = name === 'theta' ? (values[name] / 100).toFixed(2) : values[name];
        }
        for (const [name] of SWITCHES) values[name] = inputs[name].checked;
        const found = count(values), list = make('dl');
        const { size, k0 } = values, half = Math.floor(size / 2);
        for (const [name, term, text] of [
            ['in', 'comes in', `${k0} × ${size} × ${size}`],
            ['out', 'dense block gives', `${number(found.out)} × ${size} × ${size}`],
            ['kept', 'transition gives', `${number(found.kept)} × ${half} × ${half}`],
            ['connections', 'connections, L(L + 1)/2', number(found.connections)],
            ['parameters', 'parameters of the block', number(found.parameters)],
            ['work', 'multiply-adds of the block', number(found.work)],
            ['transition-parameters', 'parameters of the transition', number(found.transition.parameters)],
            ['transition-work', 'multiply-adds of the transition', number(found.transition.work)]])
            list.append(make('dt', {}, term), make('dd', { id: `play-${name}` }, text));
        result.replaceChildren(list, make('p', {},
            'Gray: the channels that come in. Pale: what a layer reads. Full: the k channels that it adds.'), stack(found, values));
    }

    place.replaceChildren(settings, result);
    settings.addEventListener('input', draw);
    draw();
})();
