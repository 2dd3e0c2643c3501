"""What each optimizer does to a parameter, whole.

In the docstrings' notation: p is the parameter, g the gradient, names are those of the
arguments. `tests/site/test_updates.py` takes the steps as they are written here. What
needs the norm of a leaf, or is for matrices, stands in updates_norms.py.
"""

import updates_norms
from updates_parts import (
    ADAM,
    AVERAGE,
    AVERAGED,
    BELIEF,
    CHANGE,
    CORRECTED,
    DIRECTION,
    MAXIMUM,
    NESTEROV,
    STEP,
    WARMED,
)

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
h_t = g_t + weight_decay p_{t-1}
e_g_t = rho e_g_{t-1} + (1 - rho) |h_t|^2,  e_g_0 = 0
u_t = sqrt(e_x_{t-1} + eps) / sqrt(e_g_t + eps) h_t
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
    "asgd": """\
h_t = g_t + weight_decay p_{t-1}
r_t = learning_rate / (1 + lambd learning_rate (t - 1))^alpha
p_t = p_{t-1} - r_t (h_t + lambd p_{t-1})
a_t = a_{t-1} + (p_t - a_{t-1}) / max(1, t - 1 - t0),  a_0 = p_0""",
    "cocob": """\
h_t = learning_rate (g_t + weight_decay p_{t-1})
L_t = max(L_{t-1}, |h_t|),  L_0 = eps
G_t = G_{t-1} + |h_t|,  G_0 = 0
R_t = max(R_{t-1} - h_t (p_{t-1} - p_0), 0),  R_0 = 0
C_t = C_{t-1} - h_t,  C_0 = 0
p_t = p_0 + C_t / L_t (L_t + R_t) / max(G_t + L_t, alpha L_t)""",
    "ftrl": """\
n_t = n_{t-1} + |g_t|^2,  n_0 = 0
s_t = (sqrt(n_t) - sqrt(n_{t-1})) / learning_rate
z_t = z_{t-1} + g_t - s_t p_{t-1},  z_0 = -beta / learning_rate p_0
p_t = -sign(z_t) max(|z_t| - l1, 0) / ((beta + sqrt(n_t)) / learning_rate + l2)""",
    "madgrad": """\
h_t = g_t + weight_decay p_{t-1}
a_t = (learning_rate + eps) sqrt(t)
G_t = G_{t-1} + a_t |h_t|^2,  G_0 = 0
s_t = s_{t-1} + a_t h_t,  s_0 = 0
z_t = p_0 - s_t / (cbrt(G_t) + eps)
p_t = momentum p_{t-1} + (1 - momentum) z_t""",
    "noisy_sgd": """\
n_t ~ N(0, eta / t^gamma)
p_t = p_{t-1} - learning_rate (g_t + n_t)""",
    "optimistic_gradient_descent": """\
p_t = p_{t-1} - learning_rate (alpha g_t + beta (g_t - g_{t-1})),  g_0 = g_1""",
    "optimistic_adam": f"""\
{NESTEROV}{DIRECTION}{CHANGE}p_t = p_{{t-1}} - learning_rate u_t - optimism d_t""",
    "optimistic_adam_v2": f"""\
{NESTEROV}{DIRECTION}{CHANGE}p_t = p_{{t-1}} - learning_rate (alpha u_t + beta d_t)""",
    "schedule_free_sgd": WARMED
    + """\
z_t = z_{t-1} - a_t (g_t + weight_decay p_{t-1}),  z_0 = p_0
"""
    + AVERAGED,
    "schedule_free_adamw": WARMED
    + """\
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,  nu_0 = 0
u_t = g_t / (sqrt(nu_t / (1 - b2^t)) + eps)
z_t = z_{t-1} - a_t (u_t + weight_decay p_{t-1}),  z_0 = p_0
"""
    + AVERAGED,
    "sign_sgd": "p_t = p_{t-1} - learning_rate sign(g_t)",
    "signum": """\
m_t = beta m_{t-1} + (1 - beta) g_t,  m_0 = 0
p_t = p_{t-1} - learning_rate sign(m_t)""",
    "sophia": """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
u_t = clip(mu_t / (1 - b1^t) / max(gamma nu_{t-1}, eps), clip_threshold)
nu_t = b2 nu_{t-1} + (1 - b2) h_t  if mod(t - 1, update_interval) = 0
       nu_{t-1}  otherwise
p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})""",
    "lbfgs": """\
p_{k+1} = p_k - t_k H_k g_k
H_{k+1} = V_k' H_k V_k + rho_k s_k s_k'
V_k = I - rho_k y_k s_k',  rho_k = 1 / s_k.y_k
s_k = p_{k+1} - p_k,  y_k = g_{k+1} - g_k""",
    "newton": """\
p_{k+1} = p_k - t_k u_k
|(H_k + damping I) u_k - g_k| <= eta_k |g_k|
eta_k = min(1/2, |g_k|^forcing)""",
    **updates_norms.UPDATES,
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
AVERAGING = {"x": "the average, to evaluate", "w": "its weight"}
# Those of one optimizer; what stands in `` is an argument, or made of arguments.
OWN_LETTERS = {
    "asgd": {"a": "the average, to evaluate"},
    "noisy_sgd": {"n": "noise"},
    "schedule_free_adamw": AVERAGING,
    "schedule_free_sgd": AVERAGING,
    "sophia": {"h": "the estimate of the Hessian's diagonal"},
    **updates_norms.LETTERS,
}
