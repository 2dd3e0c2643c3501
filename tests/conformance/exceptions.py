"""Which checks cannot hold for which factories, and why: data."""

ORDER = ("complex numbers have no order", "[Cc]omplex")
PASSES = ("it computes nothing", r"gradient of integers at .*, got none")
INTEGERS = ("integers become float32", r"gradient of integers at .*, got none")
USERS = ("the user's function decides", r"gradient of integers at .*, got none")
LATE = (
    "what other micro-batches have gathered may be due: zeros, not None",
    r"updates\['layer'\]\['bias'\] must be None like the gradient: Shape",
)
WHOLE = (
    "one inner product and one value are of all leaves: split leaves with jit",
    "updates of the parts",
)
REAL = ("the Hessian of a function of complex numbers is another", "is complex")

COPIES = (
    "the parameters as they were, to go back to: nothing is averaged in them",
    r"state\.cache.* is b?float16 for b?float16 parameters",
)
BACK = (
    "an update can only say how far to go from where it is, and that sum is rounded",
    "step.params.*, update and apply_updates is",
)
LOOP = (
    "a loop of unknown length is not differentiated backwards",
    "Reverse-mode differentiation does not work for lax.while_loop",
)
STEEP = (
    "without memory every deviation is 0, and the step g / sqrt(eps) falls by 1e12",
    "the derivative by decay at .*decay=0, eps=1e-08",
)
CENTERED = (
    "without memory every deviation is 0, and the step g / sqrt(eps_root) falls by 1e8",
    "the derivative by b1 at .*b1=0, ",
)
SHARP = (
    "the root of 1e-6, the start, bends as soon as the differences reach",
    "the derivative by eps_root at .*eps_root=0, initial_accumulator_value=1e-06",
)
JUMPS = (
    "squares count fully at b2 = 1, by 1 - b2 below",
    "the derivative by b2 at .*b2=1",
)
NEAR = (
    "it bends within an eps of 0, nearer than differences look: entries without a "
    "gradient of their own, a rate that eps is added to",
    r"the derivative by (weight_decay|learning_rate) at .*(decay|learning_rate)=0\b",
)
INFINITE = ("a value of infinity says that there is none yet", r"invalid value \(inf\)")
PASSES_ON = ("without members nothing looks", "got none")
MASKS = ("a leaf that a mask takes out is not looked at", "got none")

# That the exact results are out of range is held by test_out_of_range.py.
QUOTIENT = (
    "the exact step is out of float16's range: a gradient of 8,188 after none is "
    "divided by sqrt(eps_root / (1 - b2)), which gives 2.6e10",
    r"(mixed|rising) float16 gradients, ordinary params, step \d: updates\['float16'\]",
)
PRODUCT = (
    "the exact product is out of float32's range: a gradient of 1e30 times parameters "
    "that are as large after a step is 1e60",
    r"large (bfloat16|complex64) gradients, ordinary params, step 2: updates",
)

INSIDE = ("the axis is named by a member", "updates of the parts")

LEFT = (
    "what a parameter has no room for is small, and rounded at random: its own dtype "
    "holds it, and it does not stand still",
    "state.kept",
)

# (name, check) -> why it cannot hold, and a pattern of what the check then says, so
# that an exception hides nothing else. A check that holds nonetheless fails here.
EXCEPTIONS = {
    ("acprop", "is_finite_on_extreme_gradients"): QUOTIENT,
    ("add_noise", "agrees_when_leaves_are_split"): (
        "each part has noise of its own",
        "updates of the parts",
    ),
    ("add_noise", "has_derivatives_by_hyperparameters"): (
        "noise is as large as the root of its variance",
        "the derivative by eta at eta=0",
    ),
    ("apply_every", "passes_missing_leaves_by"): LATE,
    ("chain_of_chains", "agrees_when_leaves_are_split"): INSIDE,
    ("chain_of_none", "refuses_functions_among_params"): PASSES_ON,
    ("chain_of_none", "refuses_integer_gradients"): PASSES,
    ("clip", "takes_complex"): ORDER,
    ("cocob", "has_derivatives_by_hyperparameters"): NEAR,
    ("cocob", "takes_complex"): ORDER,
    ("freeze", "refuses_functions_among_params"): MASKS,
    ("identity", "refuses_integer_gradients"): PASSES,
    ("masked", "refuses_functions_among_params"): MASKS,
    ("masked_with_zero", "refuses_functions_among_params"): MASKS,
    ("MultiSteps", "passes_missing_leaves_by"): LATE,
    ("keep_params_nonnegative", "takes_complex"): ORDER,
    ("hutchinson_estimator_diag_hessian", "takes_complex"): REAL,
    ("polyak_sgd", "has_derivatives_by_hyperparameters"): (
        "scaled by 0 the gradient stands still, by next to nothing it moves",
        "the derivative by scaling at .*scaling=0",
    ),
    ("projected_whole", "agrees_when_leaves_are_split"): INSIDE,
    ("reduce_on_plateau", "steps_under_infinity_checks"): INFINITE,
    ("rmsprop_centered", "has_derivatives_by_hyperparameters"): STEEP,
    ("sam", "keeps_bfloat16"): COPIES,
    ("sam", "keeps_float16"): COPIES,
    ("sam_of_many", "keeps_bfloat16"): COPIES,
    ("sam_of_many", "keeps_float16"): COPIES,
    ("sam_of_many", "step_is_update_then_apply"): BACK,
    ("scale_by_acprop", "has_derivatives_by_hyperparameters"): CENTERED,
    ("scale_by_acprop", "is_finite_on_extreme_gradients"): QUOTIENT,
    ("scale_by_backtracking_linesearch", "has_derivatives_by_hyperparameters"): LOOP,
    ("scale_by_belief", "has_derivatives_by_hyperparameters"): CENTERED,
    ("scale_by_madgrad", "has_derivatives_by_hyperparameters"): NEAR,
    ("scale_by_newton_cg", "has_derivatives_by_hyperparameters"): LOOP,
    ("scale_by_stddev", "has_derivatives_by_hyperparameters"): STEEP,
    ("scale_by_yogi", "has_derivatives_by_hyperparameters"): SHARP,
    ("scale_by_zoom_linesearch", "has_derivatives_by_hyperparameters"): LOOP,
    ("quantized_whatever_the_size", "agrees_when_leaves_are_split"): (
        "a share has blocks of its own, of other sizes where leaves are this small",
        "updates of the parts",
    ),
    ("write", "keeps_bfloat16"): LEFT,
    ("write", "keeps_float16"): LEFT,
    ("written_at_random", "rounds_once_into_the_parameters"): (
        "to one of the two numbers beside the sum, at random, not to the nearest",
        "rounded more than once",
    ),
    ("scale_by_backtracking_linesearch", "agrees_when_leaves_are_split"): WHOLE,
    ("scale_by_backtracking_linesearch", "steps_under_infinity_checks"): INFINITE,
    ("scale_by_cocob", "takes_complex"): ORDER,
    ("scale_by_newton_cg", "takes_complex"): REAL,
    ("scale_by_param_block_norm", "is_finite_on_extreme_gradients"): PRODUCT,
    ("scale_by_param_block_norm", "takes_complex"): PRODUCT,
    ("scale_by_param_block_rms", "is_finite_on_extreme_gradients"): PRODUCT,
    ("scale_by_param_block_rms", "takes_complex"): PRODUCT,
    ("scale_by_rprop", "takes_complex"): ORDER,
    ("scale_by_sophia", "takes_complex"): ORDER,
    ("scale_by_zoom_linesearch", "agrees_when_leaves_are_split"): WHOLE,
    ("scale_by_zoom_linesearch", "steps_under_infinity_checks"): INFINITE,
    ("scale_by_sm3", "has_derivatives_by_hyperparameters"): JUMPS,
    ("scale", "refuses_integer_gradients"): INTEGERS,
    ("search_from_one", "agrees_when_leaves_are_split"): WHOLE,
    ("search_from_one", "has_derivatives_by_hyperparameters"): LOOP,
    ("search_from_one", "steps_under_infinity_checks"): INFINITE,
    ("stateless", "refuses_integer_gradients"): USERS,
    ("stateless_with_tree_map", "refuses_integer_gradients"): USERS,
}
