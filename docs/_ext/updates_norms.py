"""The updates with the norm of a leaf or of the whole tree, and those of matrices.

As in updates.py. |x|_2 and <x, y> are of what the note beside them says, and so are
mean(x) and rms(x); mean_i(x), max_i(x) and norm_i(x) go over the rows of a matrix,
those with j over its columns. A row times a column is a matrix.
"""

from updates_parts import ADAM, CORRECTED, MOMENTS, STEP

LEAF = "  (norms of each leaf)\n"
TREE = "  (norms of the whole tree)\n"
FACTORED = """\
R_t = {b} R_{{t-1}} + (1 - {b}) mean_j({x}),  R_0 = 0
C_t = {b} C_{{t-1}} + (1 - {b}) mean_i({x}),  C_0 = 0
"""
PROJECTED = (
    """\
R_t = P_t g_t
mu_t = b1 mu_{t-1} + (1 - b1) R_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |R_t|^2,  nu_0 = 0
"""
    + CORRECTED
    + "A_t = mu^_t / (sqrt(nu^_t) + eps)\n"
)
GROWN = """\
U_t = X_t min(1, max_growth |U_{t-1}|_2 / |X_t|_2)  if t > 1
      X_t  otherwise
p_t = p_{t-1} - learning_rate (scale U_t + weight_decay p_{t-1})"""
DECAYED = "h_t = g_t + weight_decay p_{t-1}\n"
RATE = "a_t = learning_rate d_{t-1} sqrt(1 - b2^t) / (1 - b1^t),  d_0 = estim_lr0\n"

UPDATES = {
    "adafactor": "b_t = 1 - t^-decay_rate\n"
    + FACTORED.format(b="b_t", x="|g_t|^2 + eps")
    + """\
u_t = g_t / sqrt(R_t C_t' / mean(R_t))
c_t = u_t / max(1, rms(u_t) / clipping_threshold)
a_t = learning_rate max(rms(p_{t-1}), min_scale)
p_t = p_{t-1} - a_t c_t - weight_decay_rate p_{t-1}""",
    "adam_mini": f"""\
mu_t = b1 mu_{{t-1}} + (1 - b1) g_t,  mu_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) mean(|g_t|^2),  nu_0 = 0  (means of each block)
{CORRECTED}u_t = mu^_t / (sqrt(nu^_t) + eps)
p_t = p_{{t-1}} - learning_rate (u_t + weight_decay p_{{t-1}})""",
    "apollo": PROJECTED + "X_t = g_t diag(norm_i(A_t) / norm_i(R_t))\n" + GROWN,
    "apollo_mini": PROJECTED + "X_t = g_t |A_t|_2 / |R_t|_2\n" + GROWN,
    "came": FACTORED.format(b="b2", x="|g_t|^2 + eps")
    + """\
x_t = g_t / sqrt(R_t C_t' / mean(R_t))
c_t = x_t / max(1, rms(x_t) / clipping_threshold)
mu_t = b1 mu_{t-1} + (1 - b1) c_t,  mu_0 = 0
y_t = |c_t - mu_t|^2 + eps_confidence
Q_t = b3 Q_{t-1} + (1 - b3) mean_j(y_t),  Q_0 = 0
S_t = b3 S_{t-1} + (1 - b3) mean_i(y_t),  S_0 = 0
u_t = mu_t / sqrt(Q_t S_t' / mean(Q_t))
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "dadapt_adamw": RATE
    + f"""\
r_t = b3 r_{{t-1}} + (1 - b3) a_t <g_t, s_{{t-1}} / (sqrt(nu_{{t-1}}) + eps)>
s_t = b3 s_{{t-1}} + (1 - b3) a_t g_t,  s_0 = 0
d_t = max(d_{{t-1}}, r_t / ((1 - b3) |s_t|_1)){TREE}\
mu_t = b1 mu_{{t-1}} + (1 - b1) a_t g_t,  mu_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) |g_t|^2,  nu_0 = 0
p_t = p_{{t-1}} - mu_t / (sqrt(nu_t) + eps) - a_t weight_decay p_{{t-1}}""",
    "dog": DECAYED
    + f"""\
r_t = max(r_{{t-1}}, |p_{{t-1}} - p_0|_2),  r_0 = a (1 + |p_0|_2){TREE}\
G_t = G_{{t-1}} + |h_t|_2^2,  G_0 = 0
p_t = p_{{t-1}} - learning_rate r_t / sqrt(G_t + eps) h_t""",
    "dowg": DECAYED
    + f"""\
D_t = max(D_{{t-1}}, |p_{{t-1}} - p_0|_2^2),  D_0 = init_estim_sq_dist{TREE}\
v_t = v_{{t-1}} + D_t |h_t|_2^2,  v_0 = 0
p_t = p_{{t-1}} - learning_rate D_t / (sqrt(v_t) + eps) h_t""",
    "dpsgd": f"""\
c_t = sum_i g_{{t,i}} min(1, C / |g_{{t,i}}|_2){TREE}\
n_t ~ N(0, 1)
p_t = p_{{t-1}} - learning_rate (c_t + sigma C n_t) / B""",
    "fromage": f"""\
u_t = max(|p_{{t-1}}|_2, min_norm) / max(|g_t|_2, min_norm) g_t{LEAF}\
p_t = (p_{{t-1}} - learning_rate u_t) / sqrt(1 + learning_rate^2)""",
    "galore": """\
R_t = P_t' g_t
U_t = scale P_t base_optimizer(R_t)
p_t = p_{t-1} - learning_rate (U_t + weight_decay p_{t-1})""",
    "lamb": f"""\
{ADAM}r_t = {STEP} + weight_decay p_{{t-1}}
p_t = p_{{t-1}} - learning_rate |p_{{t-1}}|_2 / |r_t|_2 r_t  (norms of each leaf)""",
    "lars": DECAYED
    + f"""\
k_t = trust_coefficient |p_{{t-1}}|_2 / (|h_t|_2 + eps){LEAF}\
v_t = momentum v_{{t-1}} - learning_rate k_t h_t,  v_0 = 0
p_t = p_{{t-1}} + v_t""",
    "mars": f"""\
c_t = g_t + gamma b1 / (1 - b1) (g_t - g_{{t-1}}),  g_0 = g_1
x_t = c_t min(1, max_norm / |c_t|_2){LEAF}\
mu_t = b1 mu_{{t-1}} + (1 - b1) x_t,  mu_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) |x_t|^2,  nu_0 = 0
{CORRECTED}p_t = p_{{t-1}} - learning_rate ({STEP} + weight_decay p_{{t-1}})""",
    "momo": f"""\
d_t = beta d_{{t-1}} + (1 - beta) g_t,  d_0 = g_1
f_t = beta f_{{t-1}} + (1 - beta) v_t,  f_0 = v_1
c_t = beta c_{{t-1}} + (1 - beta) <g_t, p_{{t-1}}>,  c_0 = <g_1, p_0>
k = 1 + learning_rate weight_decay
h_t = f_t - lower_bound - c_t
m_t = max(k h_t + <d_t, p_{{t-1}}>, 0)
a_t = min(learning_rate, m_t / |d_t|_2^2){TREE}\
p_t = p_{{t-1}} / k - a_t d_t""",
    "momo_adam": f"""\
d_t = b1 d_{{t-1}} + (1 - b1) g_t,  d_0 = 0
f_t = b1 f_{{t-1}} + (1 - b1) v_t,  f_0 = 0
c_t = b1 c_{{t-1}} + (1 - b1) <g_t, p_{{t-1}}>,  c_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) |g_t|^2,  nu_0 = 0
u_t = d_t / (sqrt(nu_t / (1 - b2^t)) + eps)
s_t = 1 - b1^t,  k = 1 + learning_rate weight_decay
h_t = f_t - s_t lower_bound - c_t
m_t = max(k h_t + <d_t, p_{{t-1}}>, 0)
a_t = min(learning_rate / s_t, m_t / <d_t, u_t>){TREE}\
p_t = p_{{t-1}} / k - a_t u_t""",
    "novograd": f"""\
nu_t = b2 nu_{{t-1}} + (1 - b2) |g_t|_2^2,  nu_0 = |g_1|_2^2{LEAF}\
u_t = g_t / (sqrt(nu_t + eps_root) + eps) + weight_decay p_{{t-1}}
mu_t = b1 mu_{{t-1}} + u_t,  mu_0 = 0
p_t = p_{{t-1}} - learning_rate mu_t""",
    "polyak_sgd": f"""\
h_t = scaling g_t
a_t = min((v_t - f_min) / (|h_t|_2^2 + eps), max_learning_rate){TREE}\
p_t = p_{{t-1}} - a_t h_t""",
    "prodigy": RATE
    + f"""\
r_t = b3 r_{{t-1}} + a_t d_{{t-1}} / d_0 <g_t, p_0 - p_{{t-1}}>
s_t = b3 s_{{t-1}} + a_t d_{{t-1}} / d_0 g_t,  s_0 = 0
d_t = max(d_{{t-1}}, estim_lr_coef r_t / |s_t|_1){TREE}\
mu_t = b1 mu_{{t-1}} + (1 - b1) d_{{t-1}} g_t,  mu_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) d_{{t-1}}^2 |g_t|^2,  nu_0 = 0
u_t = mu_t / (sqrt(nu_t) + d_t eps)
p_t = p_{{t-1}} - a_t (u_t + weight_decay p_{{t-1}})""",
    "sm3": """\
v_t = min(R_{t-1}, C_{t-1}') + |g_t|^2
R_t = max_j(v_t),  R_0 = 0
C_t = max_i(v_t),  C_0 = 0
m_t = momentum m_{t-1} + (1 - momentum) g_t / sqrt(v_t + eps),  m_0 = 0
p_t = p_{t-1} - learning_rate m_t""",
    "stable_adamw": f"""\
{MOMENTS}{CORRECTED}\
r_t = sqrt(mean(|g_t|^2 / max(nu^_t, eps^2)))  (the mean of each leaf)
u_t = mu^_t / (sqrt(nu^_t) + eps) + weight_decay p_{{t-1}}
p_t = p_{{t-1}} - learning_rate u_t / max(1, r_t)""",
}

MATRIX = "the parameter, a matrix"
VALUE = "the value of the loss"
BETAS = {"b1": "`betas[0]`", "b2": "`betas[1]`"}
DRAWN = {
    "p": f"{MATRIX} no taller than wide",
    "P": "a random projection, drawn anew every `update_proj_gap` steps",
}
ROWS = {
    "p": MATRIX,
    "R": "a number for each row",
    "C": "a number for each column",
}
# What the letters of one optimizer are, as updates.OWN_LETTERS.
LETTERS = {
    "adafactor": ROWS,
    "apollo": DRAWN,
    "apollo_mini": DRAWN,
    "came": {**ROWS, "Q": "as R", "S": "as C"},
    "dadapt_adamw": {**BETAS, "b3": "`betas[1] ** 0.5`", "d": "the estimate"},
    "dog": {"a": "`init_step[1]`"},
    "dpsgd": {
        "g": "the gradient of an example",
        "B": "the number of examples",
        "C": "`l2_norm_clip`",
        "sigma": "`noise_multiplier`",
        "n": "noise",
    },
    "galore": {
        "p": f"{MATRIX} no wider than tall",
        "P": "the first left singular vectors of g, anew every `update_proj_gap` steps",
    },
    "momo": {"v": VALUE},
    "momo_adam": {"v": VALUE},
    "polyak_sgd": {"v": VALUE},
    "prodigy": {**BETAS, "b3": "`beta3`", "d": "the estimate"},
    "sm3": ROWS,
}
