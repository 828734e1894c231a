"""Theory that simulated boxes are held against: linear and non-linear power spectra and the mass function of haloes.

Flat LCDM at z = 0. Lengths in Mpc/h, wave numbers in h/Mpc, masses in Msun/h. Transfer function: D. J. Eisenstein,
W. Hu, ApJ 496, 605 (1998); non-linear power: R. Takahashi et al., ApJ 761, 152 (2012), the revised halofit; mass
function of haloes by friends of friends with b = .2: M. S. Warren et al., ApJ 646, 881 (2006).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import simpson

CRITICAL = 2.77536627e11  # critical density in h^2 Msun/Mpc^3
KPC = 1e-3  # in Mpc
T_CMB = 2.7255


@dataclass(frozen=True)
class Cosmology:
    """The fiducial parameters of the Quijote simulations (F. Villaescusa-Navarro et al., ApJS 250, 2, 2020)."""

    omega_m: float = 0.3175
    omega_b: float = 0.049
    h: float = 0.6711
    n_s: float = 0.9624
    sigma8: float = 0.834

    @property
    def density(self) -> float:
        """Mean density of matter in h^2 Msun/Mpc^3 of comoving volume."""
        return self.omega_m * CRITICAL

    @cached_property
    def _amplitude(self) -> float:
        return (self.sigma8 / self._sigma(np.array([8.0]), 1.0)[0]) ** 2

    def linear_power(self, k) -> np.ndarray:
        """P(k) [k] in (Mpc/h)^3 of linear theory."""
        return self._amplitude * self._shape(np.asarray(k, float))

    def _shape(self, k: np.ndarray) -> np.ndarray:
        return k**self.n_s * transfer(k, self) ** 2

    def _sigma(self, radius: np.ndarray, amplitude: float) -> np.ndarray:
        k = np.geomspace(1e-4, 1e3, 6000)
        x = radius[:, None] * k
        window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
        with np.errstate(all="ignore"):
            window = np.where(x < 1e-2, 1 - x**2 / 10, window)
        return np.sqrt(amplitude * simpson(k**3 * self._shape(k) * window**2 / (2 * np.pi**2), x=np.log(k), axis=1))

    def sigma(self, radius) -> np.ndarray:
        """Standard deviation [radius] of the linear overdensity in spheres of this radius."""
        return self._sigma(np.atleast_1d(np.asarray(radius, float)), self._amplitude)

    def mass_function(self, mass) -> np.ndarray:
        """dn/dln M [mass] in (h/Mpc)^3 by Warren et al., as printed in their equations 5 and 8."""
        mass = np.asarray(mass, float)
        around = np.log(mass)[:, None] + np.array([-0.01, 0.01])
        radius = (3 * np.exp(around) / (4 * np.pi * self.density)) ** (1 / 3)
        sigma = self.sigma(radius.ravel()).reshape(around.shape)
        slope = -np.diff(np.log(sigma), axis=1)[:, 0] / 0.02
        s = np.sqrt(sigma[:, 0] * sigma[:, 1])
        return 0.7234 * (s**-1.625 + 0.2538) * np.exp(-1.1982 / s**2) * self.density / mass * slope

    def nonlinear_power(self, k) -> np.ndarray:
        """P(k) [k] in (Mpc/h)^3 by the revised halofit, at z = 0."""
        k = np.asarray(k, float)
        q = np.geomspace(1e-4, 1e2, 4000)
        dimensionless = q**3 * self.linear_power(q) / (2 * np.pi**2)

        def variance(radius):  # in Gaussian spheres
            return simpson(dimensionless * np.exp(-((q * radius) ** 2)), x=np.log(q))

        low, high = 0.01, 20.0
        for _ in range(60):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if variance(middle) > 1 else (low, middle)
        radius, step = np.sqrt(low * high), 1e-3
        logs = np.log([variance(radius * np.exp(s)) for s in (-step, 0, step)])
        n = -3 - (logs[2] - logs[0]) / (2 * step)
        c = -(logs[2] - 2 * logs[1] + logs[0]) / step**2
        om = self.omega_m
        a = 10 ** (1.5222 + 2.8553 * n + 2.3706 * n**2 + 0.9903 * n**3 + 0.2250 * n**4 - 0.6038 * c)
        b = 10 ** (-0.5642 + 0.5864 * n + 0.5716 * n**2 - 1.5474 * c)
        cc = 10 ** (0.3698 + 2.0404 * n + 0.8161 * n**2 + 0.5869 * c)
        gamma = 0.1971 - 0.0843 * n + 0.8460 * c
        alpha = abs(6.0835 + 1.3373 * n - 0.1959 * n**2 - 5.5274 * c)
        beta = 2.0379 - 0.7354 * n + 0.3157 * n**2 + 1.2490 * n**3 + 0.3980 * n**4 - 0.1682 * c
        nu = 10 ** (5.2105 + 3.6902 * n)
        f1, f2, f3 = om**-0.0307, om**-0.0585, om**0.0743
        y = k * radius
        linear = k**3 * self.linear_power(k) / (2 * np.pi**2)
        two = linear * (1 + linear) ** beta / (1 + alpha * linear) * np.exp(-y / 4 - y**2 / 8)
        one = a * y ** (3 * f1) / (1 + b * y**f2 + (cc * f3 * y) ** (3 - gamma))
        one = one / (1 + nu / y**2)
        return (two + one) * 2 * np.pi**2 / k**3


def transfer(k, cosmology: Cosmology) -> np.ndarray:
    """T(k) [k] of Eisenstein and Hu 1998, with baryon wiggles, 1 at k = 0."""
    om, ob, h = cosmology.omega_m, cosmology.omega_b, cosmology.h
    k = np.asarray(k, float) * h  # in 1/Mpc
    theta, om_h, ob_h = T_CMB / 2.7, om * h**2, ob * h**2
    f_b, f_c = ob / om, 1 - ob / om
    z_eq, k_eq = 2.5e4 * om_h * theta**-4, 0.0746 * om_h * theta**-2
    b1 = 0.313 * om_h**-0.419 * (1 + 0.607 * om_h**0.674)
    z_d = 1291 * om_h**0.251 / (1 + 0.659 * om_h**0.828) * (1 + b1 * ob_h ** (0.238 * om_h**0.223))
    r_d, r_eq = (31.5 * ob_h * theta**-4 * 1e3 / z for z in (z_d, z_eq))
    s = (
        2 / (3 * k_eq) * np.sqrt(6 / r_eq) * np.log((np.sqrt(1 + r_d) + np.sqrt(r_d + r_eq)) / (1 + np.sqrt(r_eq)))
    )  # sound horizon
    k_silk = 1.6 * ob_h**0.52 * om_h**0.73 * (1 + (10.4 * om_h) ** -0.95)
    a1 = (46.9 * om_h) ** 0.670 * (1 + (32.1 * om_h) ** -0.532)
    a2 = (12.0 * om_h) ** 0.424 * (1 + (45.0 * om_h) ** -0.582)
    alpha_c = a1**-f_b * a2 ** -(f_b**3)
    b1, b2 = 0.944 / (1 + (458 * om_h) ** -0.708), (0.395 * om_h) ** -0.0266
    beta_c = 1 / (1 + b1 * (f_c**b2 - 1))
    q = k / (13.41 * k_eq)

    def pressureless(alpha, beta):
        log = np.log(np.e + 1.8 * beta * q)
        return log / (log + (14.2 / alpha + 386 / (1 + 69.9 * q**1.08)) * q**2)

    f = 1 / (1 + (k * s / 5.4) ** 4)
    t_c = f * pressureless(1, beta_c) + (1 - f) * pressureless(alpha_c, beta_c)
    y = (1 + z_eq) / (1 + z_d)
    root = np.sqrt(1 + y)
    g = y * (-6 * root + (2 + 3 * y) * np.log((root + 1) / (root - 1)))
    alpha_b = 2.07 * k_eq * s * (1 + r_d) ** -0.75 * g
    beta_b = 0.5 + f_b + (3 - 2 * f_b) * np.sqrt((17.2 * om_h) ** 2 + 1)
    beta_node = 8.41 * om_h**0.435
    ks = k * s
    with np.errstate(divide="ignore"):
        shifted = ks / (1 + (beta_node / ks) ** 3) ** (1 / 3)
        t_b = pressureless(1, 1) / (1 + (ks / 5.2) ** 2) + alpha_b / (1 + (beta_b / ks) ** 3) * np.exp(
            -((k / k_silk) ** 1.4)
        )
    return f_b * t_b * np.sinc(shifted / np.pi) + f_c * t_c
