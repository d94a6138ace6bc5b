# ruff: noqa
# %% test-verdict right: a table
def verdict(as_written, narrower):
    return {(False, True): 'conditional', (False, False): 'wrong'}.get((as_written, narrower), 'open' if as_written is None else 'holds')

# %% test-verdict right: a lambda, with capital letters
verdict = lambda a, n: 'Open' if a is None else 'Holds' if a else 'Conditional' if n else 'Wrong'

# %% test-verdict right: match
def verdict(as_written, narrower):
    if as_written == True:
        result = 'holds'
    elif as_written == False and narrower:
        result = 'conditional'
    elif as_written == False:
        result = 'wrong'
    else:
        result = 'open'
    return result

# %% test-verdict wrong: open is wrong | cannot be tested is not wrong
def verdict(as_written, narrower):
    return 'holds' if as_written else 'conditional' if narrower else 'wrong'

# %% test-verdict wrong: the condition first | needs no condition
def verdict(as_written, narrower):
    if as_written is None:
        return 'open'
    if narrower:
        return 'conditional'
    return 'holds' if as_written else 'wrong'

# %% test-verdict wrong: the package's ledger | uses the package
def verdict(as_written, narrower):
    if as_written is None:
        return 'open'
    ledger = Ledger()
    ledger.judge(1, as_written, narrower)
    return ledger.verdicts(1)[0]

# %% test-verdict wrong: printed | returns None
def verdict(as_written, narrower):
    if as_written is None:
        print('open')
    elif as_written:
        print('holds')
    else:
        print('conditional' if narrower else 'wrong')

# %% test-verdict wrong: true for holds | it should be
def verdict(as_written, narrower):
    return 'true' if as_written else 'conditional' if narrower else 'wrong' if as_written is False else 'open'

# %% test-verdict wrong: wrong and conditional exchanged | it should be
def verdict(as_written, narrower):
    if as_written is None:
        return 'open'
    return 'holds' if as_written else 'wrong' if narrower else 'conditional'

# %% test-verdict wrong: one argument forgotten | raised TypeError
def verdict(as_written):
    return 'holds' if as_written else 'wrong'

# %% test-counterexamples right: lists
block_config, size, maps, deeper_and_smaller = [6, 12, 24, 16], 7, 1, ['densenet121', 'resnet18']

# %% test-counterexamples right: within one family
block_config, size, maps, deeper_and_smaller = (1, 1), 101, 5, ('resnet164', 'resnet110')

# %% test-counterexamples right: NumPy's numbers
block_config, size, maps = numpy.array([2, 3]), numpy.int64(5), numpy.float32(13)
deeper_and_smaller = ('densenet201', 'resnet50')

# %% test-counterexamples right: two depths in one name
block_config, size, maps, deeper_and_smaller = (1, 1), 101, 5, ('resnet110', 'densenet_100_24')

# %% test-counterexamples wrong: another number in the name | does not have more layers
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 45, ('d2l_resnet18', 'resnet50')

# %% test-counterexamples wrong: one block | Where do connections stop?
block_config, size, maps, deeper_and_smaller = (4,), 3, 45, ('densenet121', 'resnet18')

# %% test-counterexamples wrong: an even size | Which sizes cannot be halved?
block_config, size, maps, deeper_and_smaller = (4, 4), 14, 45, ('densenet121', 'resnet18')

# %% test-counterexamples wrong: an even number of maps | not a whole number
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 46, ('densenet121', 'resnet18')

# %% test-counterexamples wrong: the claim's own way | one family
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 45, ('densenet169', 'densenet121')

# %% test-counterexamples wrong: the other order | does not have more layers
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 45, ('resnet18', 'densenet121')

# %% test-counterexamples wrong: one left out | still None
block_config, size, maps, deeper_and_smaller = (4, 4), 3, None, ('densenet121', 'resnet18')

# %% test-counterexamples wrong: half a map | only whole numbers
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 4.5, ('densenet121', 'resnet18')

# %% test-counterexamples wrong: an unknown name | resnet19
block_config, size, maps, deeper_and_smaller = (4, 4), 3, 45, ('densenet121', 'resnet19')

# %% test-counterexamples wrong: a number for the blocks | raised TypeError
block_config, size, maps, deeper_and_smaller = 16, 3, 45, ('densenet121', 'resnet18')

# %% test-share right: loops and a counter
def share(resnets, densenets):
    count = 0
    for r in resnets:
        for d in densenets:
            if network_formula(r)[0] < network_formula(d)[0]:
                count += 1
    return count / (len(resnets) * len(densenets))


my_resnets, my_densenets = ('resnet18', 'resnet34', 'resnet50'), ('densenet201', 'densenet264', 'densenet161')

# %% test-share right: MXNet's mean
def share(resnets, densenets):
    a = np.array([network_formula(name)[0] for name in resnets], dtype='float64').reshape(-1, 1)
    b = np.array([network_formula(name)[0] for name in densenets], dtype='float64')
    return (a < b).astype('float32').mean()


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share right: itertools
import itertools
import statistics


def share(resnets, densenets):
    return statistics.mean(network_formula(r)[0] < network_formula(d)[0] for r, d in itertools.product(resnets, densenets))


my_resnets, my_densenets = {'resnet18', 'resnet34'}, {'densenet264', 'densenet161'}

# %% test-share wrong: the number | The share is between 0 and 1
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in resnets for d in densenets)


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: the DenseNet has fewer | in which the DenseNet has fewer
def share(resnets, densenets):
    return sum(network_formula(r)[0] > network_formula(d)[0] for r in resnets for d in densenets) / len(resnets) / len(densenets)


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: its arguments unused | does it use its arguments?
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in RESNETS for d in DENSENETS) / 25


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: divided by 25 | it should be
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in resnets for d in densenets) / 25


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: side by side | it should be
def share(resnets, densenets):
    pairs = list(zip(resnets, densenets))
    return sum(network_formula(r)[0] < network_formula(d)[0] for r, d in pairs) / len(pairs)


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: multiply-adds | it should be
def share(resnets, densenets):
    return sum(network_formula(r)[1] < network_formula(d)[1] for r in resnets for d in densenets) / len(resnets) / len(densenets)


my_resnets, my_densenets = RESNETS[:2], DENSENETS[3:]

# %% test-share wrong: all of them | the DenseNets are too small
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in resnets for d in densenets) / len(resnets) / len(densenets)


my_resnets, my_densenets = RESNETS, DENSENETS

# %% test-share wrong: one of each | choose at least two
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in resnets for d in densenets) / len(resnets) / len(densenets)


my_resnets, my_densenets = ['resnet18'], ['densenet264']

# %% test-share wrong: other names | choose at least two
def share(resnets, densenets):
    return sum(network_formula(r)[0] < network_formula(d)[0] for r in resnets for d in densenets) / len(resnets) / len(densenets)


my_resnets, my_densenets = ['resnet110', 'resnet164'], ['densenet264', 'densenet161']

# %% test-doubling right: a loop
def weights(L, k, k0):
    total = 0
    for layer in range(L):
        total += 9 * (k0 + layer * k) * k
    return total


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling right: floats, capital letters
def weights(L, k, k0):
    return 9 * k * L * (k0 + k * (L - 1) / 2)


double_L, four_times, double_k = 'Wrong', 'Conditional', 'Holds'

# %% test-doubling right: with NumPy
def weights(L, k, k0):
    return 9 * k * numpy.sum(k0 + k * numpy.arange(L))


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling wrong: no kernel | 3 x 3
def weights(L, k, k0):
    return sum(k * (k0 + layer * k) for layer in range(L))


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling wrong: all read k0 | Later layers read more
def weights(L, k, k0):
    return 9 * L * k * k0


double_L, four_times, double_k = 'holds', 'holds', 'holds'

# %% test-doubling wrong: biases | Biases do not count
def weights(L, k, k0):
    return sum(9 * k * (k0 + layer * k) + k for layer in range(L))


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling wrong: off by one layer | first layer reads k0 channels alone
def weights(L, k, k0):
    return sum(9 * k * (k0 + layer * k) for layer in range(1, L + 1))


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling wrong: the last layer | last layer alone
def weights(L, k, k0):
    return 9 * k * (k0 + (L - 1) * k)


double_L, four_times, double_k = 'wrong', 'conditional', 'holds'

# %% test-doubling wrong: always at most four times | L = 1, k = 12 and k0 = 1
def weights(L, k, k0):
    return sum(9 * k * (k0 + layer * k) for layer in range(L))


double_L, four_times, double_k = 'wrong', 'holds', 'holds'

# %% test-doubling wrong: sometimes twice | Try L = 1, 2, 3
def weights(L, k, k0):
    return sum(9 * k * (k0 + layer * k) for layer in range(L))


double_L, four_times, double_k = 'conditional', 'conditional', 'holds'

# %% test-doubling wrong: one left out | still None
def weights(L, k, k0):
    return sum(9 * k * (k0 + layer * k) for layer in range(L))


double_L, four_times, double_k = 'wrong', 'conditional', None
