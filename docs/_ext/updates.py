"""What each optimizer does to a parameter, whole, and where that is written.

In the docstrings' notation: p is the parameter, g the gradient, names are those of the
arguments. `tests/site/test_updates.py` takes the steps as they are written here. An
optimizer that is not here has the equations of its docstrings, and no more.
"""

MOMENTS = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,  nu_0 = 0
"""
CORRECTED = "mu^_t = mu_t / (1 - b1^t),  nu^_t = nu_t / (1 - b2^t)\n"
ADAM = MOMENTS + CORRECTED
BELIEF = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t - mu_t|^2 + eps_root,  nu_0 = 0
"""
NESTEROV = f"""{MOMENTS}\
mu^_t = b1 mu_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t)
nu^_t = nu_t / (1 - b2^t)
"""
MAXIMUM = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = max(b2 nu_{t-1}, |g_t| + eps),  nu_0 = 0
"""
AVERAGE = "nu_t = decay nu_{t-1} + (1 - decay) |g_t|^2,  nu_0 = initial_scale\n"
STEP = "mu^_t / (sqrt(nu^_t + eps_root) + eps)"

# From the call, without the learning rate, to the steps.
UPDATES = {
    "sgd": "p_t = p_{t-1} - learning_rate g_t",
    "sgd(momentum=0.9)": """\
v_t = momentum v_{t-1} + g_t,  v_0 = 0
p_t = p_{t-1} - learning_rate v_t""",
    "sgd(momentum=0.9, nesterov=True)": """\
v_t = momentum v_{t-1} + g_t,  v_0 = 0
p_t = p_{t-1} - learning_rate (g_t + momentum v_t)""",
    "adagrad": """\
G_t = G_{t-1} + |g_t|^2,  G_0 = initial_accumulator_value
p_t = p_{t-1} - learning_rate g_t / sqrt(G_t + eps)""",
    "rmsprop": AVERAGE
    + """\
p_t = p_{t-1} - learning_rate g_t / sqrt(nu_t + eps)""",
    "rmsprop(momentum=0.9)": AVERAGE
    + """\
v_t = momentum v_{t-1} - learning_rate g_t / sqrt(nu_t + eps),  v_0 = 0
p_t = p_{t-1} + v_t""",
    "rmsprop(centered=True)": "mu_t = decay mu_{t-1} + (1 - decay) g_t,  mu_0 = 0\n"
    + AVERAGE
    + """\
p_t = p_{t-1} - learning_rate g_t / sqrt(nu_t - |mu_t|^2 + eps)""",
    "adadelta": """\
e_g_t = rho e_g_{t-1} + (1 - rho) |g_t|^2,  e_g_0 = 0
u_t = sqrt(e_x_{t-1} + eps) / sqrt(e_g_t + eps) g_t
e_x_t = rho e_x_{t-1} + (1 - rho) |u_t|^2,  e_x_0 = 0
p_t = p_{t-1} - learning_rate u_t""",
    "adam": f"{ADAM}p_t = p_{{t-1}} - learning_rate {STEP}",
    "nadam": f"{NESTEROV}p_t = p_{{t-1}} - learning_rate {STEP}",
    "adamw": ADAM
    + f"p_t = p_{{t-1}} - learning_rate ({STEP} + weight_decay p_{{t-1}})",
    "nadamw": NESTEROV
    + f"p_t = p_{{t-1}} - learning_rate ({STEP} + weight_decay p_{{t-1}})",
    "adam_lp": """\
M_t = b1 M_{t-1} + (1 - b1) g_t,  M_0 = 0
R_t = b2^p R_{t-1} + (1 - b2^p) |g_t|^p,  R_0 = 0
M^_t = M_t / (1 - b1^t),  R^_t = R_t / (1 - b2^(p t))
w_t = w_{t-1} - learning_rate M^_t / (R^_t + eps^p)^(1/p)""",
    "adamax": MAXIMUM
    + """\
p_t = p_{t-1} - learning_rate mu_t / ((1 - b1^t) nu_t)""",
    "adamaxw": MAXIMUM
    + """\
p_t = p_{t-1} - learning_rate (mu_t / ((1 - b1^t) nu_t) + weight_decay p_{t-1})""",
    "amsgrad": ADAM
    + """\
nu_max_t = max(nu_max_{t-1}, nu^_t),  nu_max_0 = 0
p_t = p_{t-1} - learning_rate mu^_t / (sqrt(nu_max_t + eps_root) + eps)""",
    "radam": ADAM
    + """\
rho_inf = 2 / (1 - b2) - 1
rho_t = rho_inf - 2 t b2^t / (1 - b2^t)
r_t^2 = (rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t)
u_t = r_t mu^_t / (sqrt(nu^_t + eps_root) + eps)  if rho_t >= threshold
      mu^_t  otherwise
p_t = p_{t-1} - learning_rate u_t""",
    "lion": """\
u_t = sign(b1 mu_{t-1} + (1 - b1) g_t)
mu_t = b2 mu_{t-1} + (1 - b2) g_t,  mu_0 = 0
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "rprop": """\
s_t = sign(g_t u_{t-1}),  u_0 = 0
d_t = min(eta_plus d_{t-1}, max_step_size)  if s_t > 0,  d_0 = learning_rate
      max(eta_minus d_{t-1}, min_step_size)  if s_t < 0
      d_{t-1}  if s_t = 0
u_t = sign(g_t) d_t  if s_t >= 0
      0  if s_t < 0
p_t = p_{t-1} - u_t""",
    "adabelief": BELIEF
    + CORRECTED
    + """\
p_t = p_{t-1} - learning_rate mu^_t / (sqrt(nu^_t) + eps)""",
    "acprop": f"""\
u_t = g_t / (sqrt(nu^_{{t-1}}) + eps),  nu^_0 = 1
{BELIEF}nu^_t = nu_t / (1 - b2^t)
p_t = p_{{t-1}} - learning_rate (u_t + weight_decay p_{{t-1}})""",
    "yogi": f"""\
mu_t = b1 mu_{{t-1}} + (1 - b1) g_t,  mu_0 = 0.000001
nu_t = nu_{{t-1}} - (1 - b2) sign(nu_{{t-1}} - |g_t|^2) |g_t|^2,  nu_0 = 0.000001
{CORRECTED}p_t = p_{{t-1}} - learning_rate mu^_t / (sqrt(nu^_t) + eps)""",
    "adan": """\
d_t = g_t - g_{t-1}  if t > 1
      0  otherwise
m_t = b1 m_{t-1} + (1 - b1) g_t,  m_0 = 0
v_t = b2 v_{t-1} + (1 - b2) d_t,  v_0 = 0
n_t = b3 n_{t-1} + (1 - b3) |g_t + b2 d_t|^2,  n_0 = 0
m^_t = m_t / (1 - b1^t),  v^_t = v_t / (1 - b2^t),  n^_t = n_t / (1 - b3^t)
u_t = (m^_t + b2 v^_t) / (sqrt(n^_t + eps_root) + eps)
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "adopt": """\
c_t = (t - 1)^(1/4)
x_t = min(max(g_t / max(sqrt(nu_{t-1}), eps), -c_t), c_t)
mu_t = b1 mu_{t-1} + (1 - b1) x_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2  if t > 1
       |g_t|^2  otherwise
p_t = p_{t-1} - learning_rate mu_t""",
    "ademamix": """\
m1_t = b1 m1_{t-1} + (1 - b1) g_t,  m1_0 = 0
m2_t = b3 m2_{t-1} + (1 - b3) g_t,  m2_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,  nu_0 = 0
m1^_t = m1_t / (1 - b1^t),  nu^_t = nu_t / (1 - b2^t)
u_t = (m1^_t + alpha m2_t) / (sqrt(nu^_t + eps_root) + eps)
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "simplified_ademamix": """\
m_t = b1 m_{t-1} + g_t,  m_0 = 0
n_t = b2 n_{t-1} + (1 - b2) |g_t|^2,  n_0 = 0
n^_t = n_t / (1 - b2^t)
u_t = (m_t + alpha g_t) / (sqrt(n^_t + eps_root) + eps)
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "laprop": """\
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,  nu_0 = 0
x_t = g_t / (sqrt(nu_t / (1 - b2^t) + eps_root) + eps)
mu_t = b1 mu_{t-1} + (1 - b1) x_t,  mu_0 = 0
p_t = p_{t-1} - learning_rate (mu_t / (1 - b1^t) + weight_decay p_{t-1})""",
    "mars": f"""\
c_t = g_t + gamma b1 / (1 - b1) (g_t - g_{{t-1}})
x_t = c_t min(1, max_norm / |c_t|)
mu_t = b1 mu_{{t-1}} + (1 - b1) x_t,  mu_0 = 0
nu_t = b2 nu_{{t-1}} + (1 - b2) |x_t|^2,  nu_0 = 0
{CORRECTED}p_t = p_{{t-1}} - learning_rate ({STEP} + weight_decay p_{{t-1}})""",
    "lbfgs": """\
p_{k+1} = p_k - t_k H_k g_k
H_{k+1} = V_k' H_k V_k + rho_k s_k s_k'
V_k = I - rho_k y_k s_k',  rho_k = 1 / s_k.y_k
s_k = p_{k+1} - p_k,  y_k = g_{k+1} - g_k""",
    "newton": """\
p_{k+1} = p_k - t_k u_k
|(H_k + damping I) u_k - g_k| <= eta_k |g_k|
eta_k = min(1/2, |g_k|^forcing)""",
}

# What the letters are that are no argument's.
LETTERS = {
    "p": "the parameter",
    "w": "the parameter",
    "g": "its gradient",
    "t_k": "how far the line search goes",
    "H": "the Hessian",
    "H_k": "the estimate of the Hessian's inverse",
}

KINGMA = (
    "Kingma & Ba, Adam: a method for stochastic optimization (2015)",
    "https://arxiv.org/abs/1412.6980",
)
LOSHCHILOV = (
    "Loshchilov & Hutter, Decoupled weight decay regularization (2019)",
    "https://arxiv.org/abs/1711.05101",
)
DOZAT = (
    "Dozat, Incorporating Nesterov momentum into Adam (2016)",
    "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
)
NOCEDAL = (
    "Nocedal & Wright, Numerical optimization (2006)",
    "https://doi.org/10.1007/978-0-387-40065-5",
)
# From module to what it was written after.
PAPERS = {
    "acprop": [
        (
            "Zhuang et al., Momentum centering and asynchronous update (2021)",
            "https://arxiv.org/abs/2110.05454",
        )
    ],
    "adabelief": [
        (
            "Zhuang et al., AdaBelief optimizer (2020)",
            "https://arxiv.org/abs/2010.07468",
        )
    ],
    "adadelta": [
        (
            "Zeiler, ADADELTA: an adaptive learning rate method (2012)",
            "https://arxiv.org/abs/1212.5701",
        )
    ],
    "adagrad": [
        (
            "Duchi, Hazan & Singer, Adaptive subgradient methods (2011)",
            "https://jmlr.org/papers/v12/duchi11a.html",
        )
    ],
    "adam": [KINGMA, DOZAT],
    "adam_lp": [KINGMA],
    "adamax": [KINGMA],
    "adamw": [LOSHCHILOV, DOZAT],
    "adan": [
        (
            "Xie et al., Adan: adaptive Nesterov momentum algorithm (2022)",
            "https://arxiv.org/abs/2208.06677",
        )
    ],
    "ademamix": [
        (
            "Pagliardini et al., The AdEMAMix optimizer (2024)",
            "https://arxiv.org/abs/2409.03137",
        )
    ],
    "adopt": [
        (
            "Taniguchi et al., ADOPT: modified Adam can converge with any beta2 (2024)",
            "https://arxiv.org/abs/2411.02853",
        )
    ],
    "amsgrad": [
        (
            "Reddi, Kale & Kumar, On the convergence of Adam and beyond (2018)",
            "https://arxiv.org/abs/1904.09237",
        )
    ],
    "dpsgd": [
        (
            "Abadi et al., Deep learning with differential privacy (2016)",
            "https://arxiv.org/abs/1607.00133",
        )
    ],
    "laprop": [
        (
            "Ziyin et al., LaProp: separating momentum and adaptivity (2020)",
            "https://arxiv.org/abs/2002.04839",
        )
    ],
    "lbfgs": [
        NOCEDAL,
        (
            "Liu & Nocedal, On the limited memory BFGS method (1989)",
            "https://doi.org/10.1007/BF01589116",
        ),
    ],
    "lion": [
        (
            "Chen et al., Symbolic discovery of optimization algorithms (2023)",
            "https://arxiv.org/abs/2302.06675",
        )
    ],
    "mars": [
        (
            "Yuan et al., MARS: unleashing the power of variance reduction (2024)",
            "https://arxiv.org/abs/2411.10438",
        )
    ],
    "newton": [
        NOCEDAL,
        (
            "Pearlmutter, Fast exact multiplication by the Hessian (1994)",
            "https://doi.org/10.1162/neco.1994.6.1.147",
        ),
    ],
    "radam": [
        (
            "Liu et al., On the variance of the adaptive learning rate and beyond "
            "(2020)",
            "https://arxiv.org/abs/1908.03265",
        )
    ],
    "rmsprop": [
        (
            "Tieleman & Hinton, Lecture 6.5 - rmsprop (2012)",
            "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
        ),
        (
            "Graves, Generating sequences with recurrent neural networks (2013)",
            "https://arxiv.org/abs/1308.0850",
        ),
    ],
    "rprop": [
        (
            "Riedmiller & Braun, the RPROP algorithm (1993)",
            "https://doi.org/10.1109/ICNN.1993.298623",
        )
    ],
    "sgd": [
        (
            "Sutskever et al., On the importance of initialization and momentum in "
            "deep learning (2013)",
            "https://proceedings.mlr.press/v28/sutskever13.html",
        )
    ],
    "simplified_ademamix": [
        (
            "Morwani et al., Connections between schedule-free optimizers (2025)",
            "https://arxiv.org/abs/2502.02431",
        )
    ],
    "yogi": [
        (
            "Zaheer et al., Adaptive methods for nonconvex optimization (2018)",
            "https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization",
        )
    ],
    "sophia": [
        (
            "Liu et al., Sophia: a scalable stochastic second-order optimizer (2023)",
            "https://arxiv.org/abs/2305.14342",
        )
    ],
}
