# ruff: noqa
# %% test-interval right: scipy's own
def interval(values):
    return stats.t.interval(0.95, len(values) - 1, loc=numpy.mean(values), scale=stats.sem(values))

# %% test-interval right: plain Python, a list
import math
import statistics


def interval(values):
    values = [float(v) for v in values]
    half = float(stats.t(len(values) - 1).isf(0.025)) * statistics.stdev(values) / math.sqrt(len(values))
    return [statistics.fmean(values) - half, statistics.fmean(values) + half]

# %% test-interval right: an array
interval = lambda v: v.mean() + numpy.array([-1, 1]) * stats.t.ppf(0.975, v.size - 1) * v.std(ddof=1) / v.size ** 0.5

# %% test-interval wrong: 1.96 | is for many values
def interval(values):
    half = 1.96 * numpy.std(values, ddof=1) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: ddof forgotten | ddof=1
def interval(values):
    half = stats.t.ppf(0.975, len(values) - 1) * numpy.std(values) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: no root of n | for one value
def interval(values):
    half = stats.t.ppf(0.975, len(values) - 1) * numpy.std(values, ddof=1)
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: degrees of freedom | degrees of freedom
def interval(values):
    half = stats.t.ppf(0.975, len(values)) * numpy.std(values, ddof=1) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: one-sided | how many on each
def interval(values):
    half = stats.t.ppf(0.95, len(values) - 1) * numpy.std(values, ddof=1) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: mean and half | Return the two ends
def interval(values):
    return numpy.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)

# %% test-interval wrong: three seeds built in | returns
def interval(values):
    half = 4.303 * numpy.std(values, ddof=1) / numpy.sqrt(3)
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: right for positive values only | returns
def interval(values):
    values = abs(values)
    half = stats.t.ppf(0.975, len(values) - 1) * numpy.std(values, ddof=1) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half

# %% test-interval wrong: printed | Did you forget `return`
def interval(values):
    print(numpy.mean(values))

# %% test-trusted right: rounded, by hand
interval_a, interval_b, trusted = (0.786, 0.957), (0.871, 0.889), 'b'

# %% test-trusted right: text and percent
interval_a, interval_b, trusted = '(0.7864, 0.9565)', ['87.1 %', '88.9 %'], ' B'.strip()

# %% test-trusted right: scipy's objects and arrays
interval_a = stats.binomtest(45, 50).proportion_ci(method='wilson')
interval_b = numpy.array(stats.binomtest(4400, 5000).proportion_ci(method='wilson'))
trusted = {'B'}.pop()

# %% test-trusted wrong: textbook | textbook interval
def ends(right, n):
    p = right / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return p - half, p + half


interval_a, interval_b, trusted = ends(45, 50), ends(4400, 5000), 'B'

# %% test-trusted wrong: exact interval | Clopper
interval_a = tuple(stats.binomtest(45, 50).proportion_ci())
interval_b, trusted = tuple(stats.binomtest(4400, 5000).proportion_ci()), 'B'

# %% test-trusted wrong: upper end first | lower end comes first
interval_a, interval_b, trusted = (0.9565, 0.7864), (0.8887, 0.8707), 'B'

# %% test-trusted wrong: A, for its accuracy | A has the higher accuracy
interval_a, interval_b, trusted = (0.7864, 0.9565), (0.8707, 0.8887), 'A'

# %% test-trusted wrong: both | accuracy of A be
interval_a, interval_b, trusted = (0.7864, 0.9565), (0.8707, 0.8887), 'both'

# %% test-trusted wrong: neither | interval of B
interval_a, interval_b, trusted = (0.7864, 0.9565), (0.8707, 0.8887), 'neither'

# %% test-trusted wrong: one number | interval_a
interval_a, interval_b, trusted = 0.9, 0.88, 'B'

# %% test-trusted wrong: B with the images of A | interval_b
interval_a, interval_b, trusted = (0.7864, 0.9565), (0.762, 0.944), 'B'

# %% test-trusted wrong: nothing | is still None
interval_a = interval_b = trusted = None

# %% test-different right: twice the tail, a list
import itertools


def different(right, level=0.05):
    pairs = list(itertools.combinations(range(right.shape[0]), 2))
    out = []
    for i, j in pairs:
        b, c = sum(right[i] > right[j]), sum(right[j] > right[i])
        p = 2 * stats.binom.cdf(min(b, c), b + c, 0.5)
        if p * len(pairs) < level:
            out.append([i, j])
    return out

# %% test-different right: integers instead of booleans
def different(right, level=0.05):
    r = numpy.asarray(right, dtype=int)
    n = len(r)
    return {(i, j) for i in range(n) for j in range(i + 1, n)
            if (d := r[i] - r[j]).any()
            and stats.binomtest(int((d > 0).sum()), int(numpy.abs(d).sum()), 0.5).pvalue <= level / (n * (n - 1) / 2)}

# %% test-different right: a matrix of p-values
def different(right, level=0.05):
    n, p = len(right), numpy.ones((len(right), len(right)))
    for i in range(n):
        for j in range(i + 1, n):
            only = [int(numpy.count_nonzero(right[a] & ~right[b])) for a, b in ((i, j), (j, i))]
            p[i, j] = stats.binomtest(only[1], sum(only)).pvalue
    return frozenset((int(i), int(j)) for i, j in numpy.argwhere(p < level / (n * (n - 1) // 2)))

# %% test-different wrong: not corrected | Nothing is corrected
def p_value(b, c):
    return stats.binomtest(int(b), int(b + c)).pvalue


def different(right, level=0.05):
    n = len(right)
    return {(i, j) for i in range(n) for j in range(i + 1, n)
            if p_value((right[i] & ~right[j]).sum(), (right[j] & ~right[i]).sum()) < level}

# %% test-different wrong: number of networks | number of networks
def p_value(b, c):
    return stats.binomtest(int(b), int(b + c)).pvalue


def different(right, level=0.05):
    n = len(right)
    return {(i, j) for i in range(n) for j in range(i + 1, n)
            if p_value((right[i] & ~right[j]).sum(), (right[j] & ~right[i]).sum()) < level / n}

# %% test-different wrong: pairs counted twice | counts once
def p_value(b, c):
    return stats.binomtest(int(b), int(b + c)).pvalue


def different(right, level=0.05):
    n = len(right)
    return {(i, j) for i in range(n) for j in range(i + 1, n)
            if p_value((right[i] & ~right[j]).sum(), (right[j] & ~right[i]).sum()) < level / (n * (n - 1))}

# %% test-different wrong: one-sided | one-sided
def different(right, level=0.05):
    n, found = len(right), set()
    for i in range(n):
        for j in range(i + 1, n):
            b, c = int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())
            if stats.binomtest(max(b, c), b + c, alternative='greater').pvalue < level / (n * (n - 1) / 2):
                found.add((i, j))
    return found

# %% test-different wrong: unpaired | different ones
def different(right, level=0.05):
    n, found = len(right), set()
    for i in range(n):
        for j in range(i + 1, n):
            a, b = right[i], right[j]
            z = (a.mean() - b.mean()) / numpy.sqrt((a.var() + b.var()) / len(a))
            if 2 * (1 - stats.norm.cdf(abs(z))) < level / (n * (n - 1) / 2):
                found.add((i, j))
    return found

# %% test-different wrong: the level built in | level is an argument
def different(right, level=0.05):
    n, found = len(right), set()
    for i in range(n):
        for j in range(i + 1, n):
            b, c = int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())
            if stats.binomtest(b, b + c).pvalue < 0.05 / (n * (n - 1) / 2):
                found.add((i, j))
    return found

# %% test-different wrong: the number of pairs | not their number
def different(right, level=0.05):
    n, found = len(right), 0
    for i in range(n):
        for j in range(i + 1, n):
            b, c = int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())
            found += stats.binomtest(b, b + c).pvalue < level / (n * (n - 1) / 2)
    return int(found)

# %% test-different wrong: neighbors only | different(
def different(right, level=0.05):
    found = set()
    for i in range(len(right) - 1):
        b, c = int((right[i] & ~right[i + 1]).sum()), int((right[i + 1] & ~right[i]).sum())
        if stats.binomtest(b, b + c).pvalue < level / (len(right) - 1):
            found.add((i, i + 1))
    return found

# %% test-different wrong: always empty | different(
def different(right, level=0.05):
    return set()

# %% test-seeds right: next and count
import itertools


def seeds_needed(d, s):
    return next(n for n in itertools.count(2)
                if (stats.t.isf(0.025, n - 1) + stats.t.isf(0.2, n - 1)) * s <= d * n ** 0.5)


each = dense - residual
needed = seeds_needed(0.2, each.std(ddof=1))

# %% test-seeds right: a table of all n
def seeds_needed(d, s):
    n = numpy.arange(2, 5000)
    return n[numpy.argmax((stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * s / numpy.sqrt(n) <= d)]


needed = f'{seeds_needed(0.2, numpy.std(dense - residual, ddof=1))}'

# %% test-seeds right: recursive, a float
def seeds_needed(d, s, n=2):
    t = stats.t(n - 1)
    return float(n) if (t.ppf(0.975) + t.ppf(0.8)) * s / n ** 0.5 <= d else seeds_needed(d, s, n + 1)


import statistics
needed = seeds_needed(0.2, statistics.stdev((dense - residual).tolist()))

# %% test-seeds wrong: 2.8 for any n | for many seeds
def seeds_needed(d, s):
    return max(2, int(numpy.ceil((2.8 * s / d) ** 2)))


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: begins at three seeds | it should be 2
def seeds_needed(d, s):
    n = 3
    while s * (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) > d * n ** 0.5:
        n += 1
    return n


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: n degrees of freedom | degrees of freedom
def seeds_needed(d, s):
    n = 2
    while (stats.t.ppf(0.975, n) + stats.t.ppf(0.8, n)) * s / n ** 0.5 > d:
        n += 1
    return n


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: without power | in half of the studies
def seeds_needed(d, s):
    n = 2
    while stats.t.ppf(0.975, n - 1) * s / n ** 0.5 > d:
        n += 1
    return n


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: one-sided | on each side
def seeds_needed(d, s):
    n = 2
    while (stats.t.ppf(0.95, n - 1) + stats.t.ppf(0.8, n - 1)) * s / n ** 0.5 > d:
        n += 1
    return n


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: one too many | one too late
def seeds_needed(d, s):
    n = 2
    while (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * s / n ** 0.5 > d:
        n += 1
    return n + 1


needed = seeds_needed(0.2, numpy.std(dense - residual, ddof=1))

# %% test-seeds wrong: ddof forgotten | needed: you have
def seeds_needed(d, s):
    n = 2
    while (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * s / n ** 0.5 > d:
        n += 1
    return n


needed = seeds_needed(0.2, numpy.std(dense - residual))

# %% test-seeds wrong: not paired | needed: you have
def seeds_needed(d, s):
    n = 2
    while (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * s / n ** 0.5 > d:
        n += 1
    return n


needed = seeds_needed(0.2, (dense.var(ddof=1) + residual.var(ddof=1)) ** 0.5)

# %% test-seeds wrong: the answer for one case | returns 9
def seeds_needed(d, s):
    return 9


needed = 9
