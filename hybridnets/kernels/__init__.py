"""What computes fast: kernels for recurrent layers, on a CPU in Numba and on a GPU in Triton, and for convolution blocks on a
CPU.

Read `steps` first: it has every kernel's mathematics as plain NumPy formulas, and the tests compare the kernels with them.
Then:

    tanh.py                the approximation of tanh that all kernels share
    cpu/vectors.py         SIMD vectors inside Numba functions: width, arithmetic, loads and stores
    cpu/tasks.py           a kernel's arguments, how threads claim tasks, compiling and its cache
    cpu/threads.py         who executes the tasks
    cpu/cells.py           one step of each recurrent cell, forward and backward
    cpu/products.py        the matrix products of the backward pass
    cpu/walks.py           the kernels that walk a sequence with a cell's steps
    cpu/weights.py         where torch's weights lie for the kernels
    cpu/recurrent.py       the torch side: `final`, `shape_of`, `probe`
    cpu/blocks.py          convolution blocks, kernels and torch side: `relu_norm_pool`, `probe`
    gpu/cells.py           Triton's kernels: the cells' steps, and the walk over a sequence
    gpu/recurrent.py       the torch side: `final`, `shape_of`, `probe`

Importing this package imports no compiler. `hybridnets.rnn.backends` imports a torch side when a layer first needs it, and
calls its `probe`, which raises if the kernels do not work on this machine.

How a batch of 32 sequences is cut on a CPU, in float32 with AVX-512 (one of two directions):

    batch (B, T, I)          block 0: step 0         block 0: step 1        ...
                             lanes 0 .. 15           lanes 0 .. 15
    row  0 --+        k = 0  [x x x x ... x]         [x x x x ... x]        k < I: the input's columns
    row  1   | block 0       ...                     ...
    ...      |        k = I  [1 1 1 1 ... 1]         [1 1 1 1 ... 1]        the bias's input
    row 15 --+
    row 16 --+               A row of the batch is a lane of every vector of its block, 16 lanes of float32 or 8 of float64.
    ...      | block 1       Lanes never mix before the last sum of a weight's gradient.
    row 31 --+

    tasks    block 0, forward | block 0, reverse | block 1, forward | block 1, reverse       threads claim one after another

    chunks   steps 0 .. 15        steps 16 .. 31       steps 32 .. 47                      of one task
             ^ state saved        ^ state saved        ^ state saved                       by the forward pass
             the backward pass takes the chunks from the last to the first: it repeats the steps from the saved state,
             which gives the gates' values, then walks back through them

    tiles    unit 0 1 2 3 | unit 4 5 6 7 | unit 8 ...        of one step
             A tile's sums, 4 units by up to 4 gates, stay in 16 registers while the loop runs over the columns of the weights:
             sum[gate, unit] += w[tile, k, gate * 4 + unit] * (vector of column k)
             Without AVX-512 a tile has one unit. Units are padded to whole tiles with weights of zero.

On a GPU a row of the batch and a direction are one program of one warp, and a unit is a lane; see `gpu/cells.py`.
"""
